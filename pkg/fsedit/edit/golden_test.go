package edit

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/vmconv/vmconv/pkg/fsedit/guest"
	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

var update = flag.Bool("update", false, "write what the edits do today as what they should do")

// kvm is what a guest needs under KVM.
func kvm() Needs {
	return Needs{
		Drivers: []Driver{
			{Module: "virtio_pci", Required: true, Why: "finds every virtio device"},
			{Module: "virtio_blk", Required: true, Why: "the disk"},
			{Module: "virtio_net", Why: "the network card"},
		},
		DiskName:  func(i int) string { return "vd" + string(rune('a'+i)) },
		Console:   "ttyS0",
		DropArgs:  []string{"earlyprintk=xen", "xencons", "clocksource=xen"},
		NICDriver: "virtio_net",
	}
}

// Each archive of testdata is a guest: facts.json, its files below in/ ("path ->
// target" is a link, "path/" a folder), and in want all that the edits do.
func TestGolden(t *testing.T) {
	archives, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(archives) == 0 {
		t.Fatal("no archives", err)
	}
	for _, name := range archives {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) { golden(t, name) })
	}
}

func golden(t *testing.T, name string) {
	archive, err := txtar.ParseFile(name)
	if err != nil {
		t.Fatal(err)
	}
	base := folder(t.TempDir())
	var facts guest.Facts
	var want []byte
	for _, f := range archive.Files {
		switch rest, in := strings.CutPrefix(f.Name, "in/"); {
		case in && filepath.Base(rest) == "grubenv": // 1024 bytes, without a last newline
			base.put(t, rest, string(f.Data)+strings.Repeat("#", 1024-len(f.Data)))
		case in:
			base.put(t, rest, string(f.Data))
		case f.Name == "facts.json":
			if err := json.Unmarshal(f.Data, &facts); err != nil {
				t.Fatal(err)
			}
		case f.Name == "want":
			want = f.Data
		}
	}
	job := Job{Facts: &facts, Needs: kvm()}
	got, changes := plan(t, base, job)
	if !bytes.Equal(got, want) && *update {
		store(t, name, archive, got)
	} else if !bytes.Equal(got, want) {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	base.apply(t, changes)
	askGRUB(t, base, changes)
	if again, changes := plan(t, base, job); len(changes) > 0 {
		t.Errorf("a second run changes more:\n%s", again)
	}
}

// askGRUB has GRUB's own programs read what was changed.
func askGRUB(t *testing.T, base folder, changes []Change) {
	t.Helper()
	for _, c := range changes {
		switch filepath.Base(c.Path) {
		case "grub.cfg":
			testtool.Run(t, "grub-script-check", base.host(c.Path))
		case "grubenv":
			testtool.Run(t, "grub-editenv", base.host(c.Path), "list")
		}
	}
}

// plan tells in words what the edits do.
func plan(t *testing.T, base guest.View, job Job) ([]byte, []Change) {
	t.Helper()
	var out bytes.Buffer
	s := NewStaged(base)
	if err := Plan(t.Context(), s, job); err != nil {
		fmt.Fprintf(&out, "error: %v\n", err)
	}
	changes, err := s.Changes()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range changes {
		fmt.Fprintf(&out, "%s %s\n", c.Kind, c.Path)
		for _, r := range c.Reasons {
			fmt.Fprintf(&out, "  %s: %s (required: %t)\n", r.Edit, r.Text, r.Required)
		}
		if c.Label != "" {
			fmt.Fprintf(&out, "  labelled %s\n", c.Label)
		}
		out.WriteString(c.Diff)
	}
	for _, w := range s.Warnings() {
		fmt.Fprintf(&out, "warning: %s: %s\n", w.Edit, w.Text)
	}
	return out.Bytes(), changes
}

func store(t *testing.T, name string, archive *txtar.Archive, got []byte) {
	t.Helper()
	kept := archive.Files[:0]
	for _, f := range archive.Files {
		if f.Name != "want" {
			kept = append(kept, f)
		}
	}
	archive.Files = append(kept, txtar.File{Name: "want", Data: got})
	if err := os.WriteFile(name, txtar.Format(archive), 0o644); err != nil {
		t.Fatal(err)
	}
}
