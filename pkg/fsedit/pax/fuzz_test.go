//go:build linux

package pax

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

// seeds are small archives in every format that GNU tar writes.
func seeds(t testing.TB) [][]byte {
	t.Helper()
	testtool.Need(t, "tar", "setfattr")
	dir := t.TempDir()
	long := filepath.Join(dir, "name"+string(bytes.Repeat([]byte("n"), 120)))
	for _, name := range []string{long, filepath.Join(dir, "sparse")} {
		if err := os.WriteFile(name, []byte("data"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	holes, err := os.OpenFile(filepath.Join(dir, "sparse"), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	for i := range int64(30) { // more than old headers hold
		if _, err := holes.WriteAt([]byte("x"), i<<16); err != nil {
			t.Fatal(err)
		}
	}
	holes.Close()
	if err := os.Symlink(long, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	testtool.Run(t, "setfattr", "-n", "trusted.x", "-v", "value", long)
	var out [][]byte
	for i, args := range [][]string{
		{"--format=v7", "--exclude=name*", "--exclude=link"}, {"--format=ustar", "--exclude=name*", "--exclude=link"}, {"--format=oldgnu", "-S"}, {"--format=gnu", "-S"},
		{"--format=pax", "-S", "--sparse-version=0.0"}, {"--format=pax", "-S", "--sparse-version=0.1"},
		{"--format=pax", "-S", "--sparse-version=1.0", "--xattrs", "--acls"},
	} {
		name := filepath.Join(t.TempDir(), fmt.Sprint(i))
		testtool.Run(t, "tar", append(args, "-C", dir, "-cf", name, ".")...)
		p, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, p)
	}
	return out
}

// TestFormats reads the same from every sparse format of GNU tar.
func TestFormats(t *testing.T) {
	var want []byte
	for i, p := range seeds(t) {
		found := false
		for _, m := range list(t, p) {
			if m.Name != "./sparse" {
				continue
			}
			found = true
			got := contentOf(t, m.Content)
			if want == nil {
				want = got
			}
			if !bytes.Equal(got, want) {
				t.Errorf("archive %d: other content", i)
			}
			if e, err := blockdev.NextExtent(m.Content, 8192, 4096); err != nil || (e.Kind == blockdev.Zero) != (i >= 2) {
				t.Errorf("archive %d: %+v, %v", i, e, err)
			}
		}
		if !found {
			t.Errorf("archive %d: no member", i)
		}
	}
}

// TestDamaged: what is cut or changed is an error, and never a panic.
func TestDamaged(t *testing.T) {
	for _, p := range seeds(t) {
		for cut := 0; cut < len(p); cut += max(100, len(p)/64) {
			drain(t.Context(), p[:cut])
		}
	}
}

// reseal gives every block that could be a header its right checksum.
func reseal(p []byte) []byte {
	p = bytes.Clone(p)
	for at := 0; at+blockSize <= len(p); at += blockSize {
		if b := p[at : at+blockSize]; !ondisk.IsZero(b) && (b[154] == 0 || b[155] == ' ') {
			copy(b[148:], fmt.Sprintf("%06o\x00 ", checksum(b)))
		}
	}
	return p
}

// FuzzPax reads archives whose headers are right but for what they say.
func FuzzPax(f *testing.F) {
	for _, p := range seeds(f) {
		f.Add(p[:min(len(p), 8000)])
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		limits := ondisk.Limits{Text: 1 << 20, Entries: 1 << 12}
		for _, q := range [][]byte{p, reseal(p)} {
			n := 0
			for m, err := range Members(t.Context(), blockdev.FromBytes(q), ReadOptions{Limits: limits}) {
				if err != nil {
					break
				}
				if n++; n > len(q)/blockSize {
					t.Fatal("more members than blocks")
				}
				if m.Content == nil {
					continue
				}
				if m.Content.Size() != m.Attr.Size {
					t.Fatal("two sizes")
				}
				for off := int64(0); off < m.Content.Size(); {
					e, err := blockdev.NextExtent(m.Content, off, m.Content.Size()-off)
					if err != nil {
						t.Fatal(err)
					}
					if off = e.End(); off > 1<<20 {
						break
					}
				}
				buf := make([]byte, min(m.Content.Size(), 1<<16))
				if _, err := m.Content.ReadAt(buf, 0); err != nil && len(buf) > 0 {
					t.Fatal(err)
				}
			}
		}
	})
}
