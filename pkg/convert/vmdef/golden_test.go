package vmdef

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

var update = flag.Bool("update", false, "write the golden files")

// TestGolden reads every sample below testdata and compares the neutral form, as
// JSON, with the golden file beside it.
func TestGolden(t *testing.T) {
	for _, kind := range []Kind{KindOVF, KindVMX, KindLibvirt, KindXL} {
		files, _ := filepath.Glob(filepath.Join("testdata", string(kind), "*"))
		count := 0
		for _, file := range files {
			if filepath.Ext(file) == ".json" {
				continue
			}
			count++
			t.Run(filepath.ToSlash(strings.TrimPrefix(file, "testdata")), func(t *testing.T) { checkGolden(t, kind, file) })
		}
		if count == 0 {
			t.Errorf("no samples of %s", kind)
		}
	}
}

func checkGolden(t *testing.T, kind Kind, file string) {
	in, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got := Detect(in[:min(len(in), 4096)]); got != kind {
		t.Errorf("detected as %q", got)
	}
	result := struct {
		Systems  []VM     `json:"systems"`
		Files    []File   `json:"files,omitempty"`
		Warnings []string `json:"warnings,omitempty"`
	}{}
	if kind == KindOVF {
		var e Envelope
		e, result.Warnings, err = ParseOVF(in, ondisk.Limits{})
		result.Systems, result.Files = e.Systems, e.Files
	} else {
		result.Systems, result.Warnings, err = Parse(kind, in, ondisk.Limits{})
	}
	if err != nil {
		t.Fatal(err)
	}
	compareGolden(t, file+".json", result)
}

func compareGolden(t *testing.T, file string, v any) {
	t.Helper()
	var got bytes.Buffer
	enc := json.NewEncoder(&got)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(file, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Errorf("got:\n%s\nwant:\n%s", got.Bytes(), want)
	}
}
