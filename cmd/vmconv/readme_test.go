package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vmconv/vmconv/pkg/convert/target"
	"github.com/vmconv/vmconv/pkg/fsedit"
	"github.com/vmconv/vmconv/pkg/fsedit/filesys/drivers"
	"github.com/vmconv/vmconv/pkg/imagefmt/formats"
)

var update = flag.Bool("update", false, "rewrite the generated parts of README.md")

// TestReadme compares the support tables with the registries.
func TestReadme(t *testing.T) {
	path := filepath.Join("..", "..", "README.md")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const begin, end = "<!-- tables -->\n", "<!-- /tables -->"
	head, rest, ok1 := strings.Cut(string(text), begin)
	old, tail, ok2 := strings.Cut(rest, end)
	if !ok1 || !ok2 {
		t.Fatal("README.md has lost the marks of its tables")
	}
	tables := supportTables()
	if old == tables {
		return
	}
	if !*update {
		t.Fatalf("README.md differs from the program; go test ./cmd/vmconv -run Readme -update\n%s", tables)
	}
	if err := os.WriteFile(path, []byte(head+begin+tables+end+tail), 0o644); err != nil {
		t.Fatal(err)
	}
}

func supportTables() string {
	var b strings.Builder
	b.WriteString("\n| image format | read | write | in place | options |\n| --- | --- | --- | --- | --- |\n")
	for _, f := range formatRows(formats.Default()) {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", f.Name, yes(f.Read), yes(f.Write), yes(f.InPlace), optionNames(f.Options))
	}
	b.WriteString("\n| target | what | disk | bus | network card | console |\n| --- | --- | --- | --- | --- | --- |\n")
	for _, t := range target.All() {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", t.Name, t.Title, strings.Join(t.DiskFormats, ", "), t.DiskBus, t.NICModel, t.Console)
	}
	var tables, systems []string
	for _, m := range fsedit.Mappers() {
		tables = append(tables, m.Name())
	}
	for _, d := range drivers.Default() {
		systems = append(systems, d.Name())
	}
	fmt.Fprintf(&b, "\nPartition tables: %s, or none. Filesystem drivers: %s (ext is ext2, ext3 and ext4).\n\n",
		strings.Join(tables, ", "), strings.Join(systems, ", "))
	return b.String()
}
