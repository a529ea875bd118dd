package testtool

import "os"

// Some is n rows of a matrix of tests, spread over it, the first among them.
// `go test ./...` is for somebody who has just changed a line, and takes a part of
// the large matrices; VMCONV_ALL, which make test sets, and VMCONV_SOAK take all
// of the rows.
func Some[T any](n int, rows []T) []T {
	if All() || n >= len(rows) {
		return rows
	}
	out := make([]T, n)
	for i := range out {
		out[i] = rows[i*len(rows)/n]
	}
	return out
}

// All reports whether everything is to be tested that Some and its callers leave out.
func All() bool { return os.Getenv("VMCONV_ALL") != "" || os.Getenv("VMCONV_SOAK") != "" }
