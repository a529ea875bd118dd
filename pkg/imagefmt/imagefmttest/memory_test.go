package imagefmttest

import (
	"bytes"
	"errors"
	"io/fs"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

func TestMemFileAgreesWithModel(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	model := Pattern(0, 30_000, 7)
	f := NewSource("x", model)
	for i := range 100 {
		off := r.IntN(40_000)
		if r.IntN(5) == 0 {
			if err := f.Truncate(int64(off)); err != nil {
				t.Fatal(err)
			}
			model = append(model, make([]byte, max(0, off-len(model)))...)[:off:off]
		} else {
			p := Pattern(int64(off), r.IntN(9000), uint64(i))
			if _, err := f.WriteAt(p, int64(off)); err != nil {
				t.Fatal(err)
			}
			model = append(model, make([]byte, max(0, off+len(p)-len(model)))...)
			copy(model[off:], p)
		}
		Device(t, f, model)
	}
	if !bytes.Equal(f.Bytes(), model) {
		t.Error("Bytes differs")
	}
}

// TestFill: pieces of the pattern fit together, and seeds differ.
func TestFill(t *testing.T) {
	whole := Pattern(1000, 5000, 3)
	for _, cut := range []int{0, 1, 7, 8, 9, 4095, 5000} {
		pieces := append(Pattern(1000, cut, 3), Pattern(1000+int64(cut), 5000-cut, 3)...)
		if !bytes.Equal(pieces, whole) {
			t.Errorf("cut at %d: the pieces do not fit", cut)
		}
	}
	if bytes.Equal(whole, Pattern(1000, 5000, 4)) || bytes.Equal(whole[:512], whole[512:1024]) {
		t.Error("the pattern repeats")
	}
}

func TestFolder(t *testing.T) {
	dir := NewFolder()
	a, b := dir.Put("a", []byte("A")), dir.Put("b", []byte("B"))
	if s, err := a.Sibling("b"); err != nil || s.Identity() != b.Identity() || s.Identity() == a.Identity() {
		t.Errorf("Sibling: %v, %v", s, err)
	}
	if _, err := a.Sibling("c"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a sibling that is not there: %v", err)
	}
	if _, err := a.Sibling("../b"); !errors.Is(err, ondisk.ErrBlocked) {
		t.Errorf("a sibling elsewhere: %v", err)
	}
	if !slices.Equal(dir.Names(), []string{"a", "b"}) {
		t.Errorf("Names = %v", dir.Names())
	}
}

func TestSinks(t *testing.T) {
	pipe := NewSink("x")
	pipe.Pipe = true
	if _, err := pipe.WriteAt([]byte("abc"), 0); err != nil {
		t.Fatal(err)
	}
	if _, err := pipe.WriteAt([]byte("d"), 4); err == nil {
		t.Error("a pipe accepted a gap")
	}
	used := NewUsedSink("x", 100)
	if _, err := used.WriteAt([]byte("abc"), 98); err == nil {
		t.Error("a device accepted a write over its end")
	}
	if err := used.Truncate(101); !errors.Is(err, ondisk.ErrNoSpace) || used.Zeroed() {
		t.Errorf("Truncate of a device: %v", err)
	}
}
