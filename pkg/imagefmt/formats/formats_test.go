package formats

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/imagefmttest"
)

// configs tells the suite what it cannot ask a format. A format without an
// entry is tested with the defaults.
var configs = map[string]imagefmttest.Config{
	"raw": {Cluster: 4096, Headerless: true},
	"qcow2": {Sector: 512, Variants: []imagefmt.CreateOptions{
		{},
		{Compress: true},
		{Values: map[string]string{"cluster_size": "4096"}},
	}},
	"vmdk": {Sector: 512, Variants: []imagefmt.CreateOptions{
		{},
		{Compress: true},
		{Values: map[string]string{"subformat": "monolithicFlat"}},
		{Values: map[string]string{"subformat": "twoGbMaxExtentSparse"}},
		{Values: map[string]string{"subformat": "twoGbMaxExtentFlat"}},
		{Values: map[string]string{"subformat": "vmfs"}},
	}},
	"vhdx": {Cluster: 1 << 20, Sector: 512, Variants: []imagefmt.CreateOptions{
		{Values: map[string]string{"block_size": "1M"}},
		{Values: map[string]string{"subformat": "fixed"}},
	}},
	"vdi": {Sector: 512, Variants: []imagefmt.CreateOptions{
		{},
		{Values: map[string]string{"subformat": "static"}},
	}},
	"xva": {Cluster: 128 << 10, Sector: 512}, // a chunk is larger; many small disks are faster to damage
	"vhd": {Sector: 512, Variants: []imagefmt.CreateOptions{
		{Values: map[string]string{"block_size": "512k"}}, // small enough for thousands of copies
		{Values: map[string]string{"subformat": "fixed"}},
	}},
}

// TestRegistered: what is registered is tested, documented and fuzzed, without
// anyone having to remember.
func TestRegistered(t *testing.T) {
	for _, f := range Default().All() {
		t.Run(f.Name(), func(t *testing.T) {
			dir := sourceDir(t, reflect.TypeOf(f))
			t.Run("documented", func(t *testing.T) { checkDoc(t, dir) })
			t.Run("fuzzed", func(t *testing.T) { checkFuzz(t, dir) })
			cfg := configs[f.Name()]
			cfg.Format = f
			imagefmttest.Format(t, cfg)
		})
	}
	for name := range configs {
		if _, err := Default().Lookup(name); err != nil {
			t.Errorf("the suite is configured for %v", err)
		}
	}
}

// sourceDir is where the package of a format lies: beside this one.
func sourceDir(t *testing.T, f reflect.Type) string {
	t.Helper()
	_, name, ok := strings.Cut(f.PkgPath(), "/pkg/imagefmt/")
	if !ok {
		t.Fatalf("the format's package is %s, not below imagefmt", f.PkgPath())
	}
	return filepath.Join("..", filepath.FromSlash(name))
}

func checkDoc(t *testing.T, dir string) {
	doc, err := os.ReadFile(filepath.Join(dir, "doc.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, heading := range []string{"What", "Layout", "Support", "Limits", "Quirks"} {
		if !strings.Contains(string(doc), "\n// # "+heading+"\n") {
			t.Errorf("%s/doc.go has no heading %q", dir, heading)
		}
	}
}

var fuzzTarget = regexp.MustCompile(`(?m)^func Fuzz[A-Z]\w*\(`)

func checkFuzz(t *testing.T, dir string) {
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if fuzzTarget.Match(content) {
			return
		}
	}
	t.Errorf("%s has no fuzz target", dir)
}
