//go:build guests || bench

package main

import (
	"os"
	"testing"
)

// mustEnv is a variable that the make targets set.
func mustEnv(t *testing.T, name string) string {
	t.Helper()
	v := os.Getenv(name)
	if v == "" {
		t.Fatalf("%s is not set: run this by `make test` or `make bench`", name)
	}
	return v
}
