package inflate

import (
	"bytes"
	"compress/flate"
	"errors"
	"io"
	"math/rand"
	"os"
	"testing"

	fast "github.com/klauspost/compress/flate"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// contents are blocks of all sorts.
func contents(t testing.TB) map[string][]byte {
	t.Helper()
	rng := rand.New(rand.NewSource(1))
	noise := make([]byte, 20_000)
	rng.Read(noise)
	few := make([]byte, 30_000)
	for i := range few {
		few[i] = "aab"[rng.Intn(3)]
	}
	runs := make([]byte, 0, 40_000)
	for len(runs) < 30_000 {
		piece := noise[rng.Intn(1000):][:1+rng.Intn(12)]
		runs = append(runs, bytes.Repeat(piece, 1+rng.Intn(400))...)
	}
	skewed := make([]byte, 40_000) // needs long codes
	for i := range skewed {
		skewed[i] = byte(min(int(rng.ExpFloat64()*18), 255))
	}
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return map[string][]byte{
		"empty": {}, "one": {7}, "zeros": make([]byte, 70_000), "noise": noise, "few": few, "runs": runs,
		"skewed": skewed, "program": program[:70_000], "text": bytes.Repeat([]byte("the quick brown fox "), 3000),
	}
}

type newWriter func(io.Writer, int) (io.WriteCloser, error)

func pack(t testing.TB, p []byte, level int, with newWriter) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := with(&b, level)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(p); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

var writers = map[string]newWriter{
	"std":       func(w io.Writer, level int) (io.WriteCloser, error) { return flate.NewWriter(w, level) },
	"klauspost": func(w io.Writer, level int) (io.WriteCloser, error) { return fast.NewWriter(w, level) },
}

func TestBlock(t *testing.T) {
	for name, want := range contents(t) {
		for by, with := range writers {
			for _, level := range []int{-2, 0, 1, 9} {
				stream := pack(t, want, level, with)
				for _, tail := range []int{0, 1, 500} {
					src := append(bytes.Clone(stream), bytes.Repeat([]byte{0xff}, tail)...)
					dst := make([]byte, len(want))
					n, used, err := Block(dst, src)
					if err != nil || n != len(want) || used != len(stream) || !bytes.Equal(dst, want) {
						t.Errorf("%s by %s, level %d: %d of %d bytes, %d of %d used, %v", name, by, level, n, len(want), used, len(stream), err)
					}
				}
			}
		}
	}
}

// TestBlockCut: a stream without its end, and a block that is too small.
func TestBlockCut(t *testing.T) {
	for name, want := range contents(t) {
		stream := pack(t, want, 6, writers["std"])
		dst := make([]byte, len(want))
		for _, keep := range []int{0, 1, len(stream) / 2, len(stream) - 1} {
			if n, _, err := Block(dst, stream[:keep]); !errors.Is(err, ondisk.ErrCorrupt) {
				t.Errorf("%s: %d of %d bytes: %d, %v", name, keep, len(stream), n, err)
			}
		}
		for _, size := range []int{0, 1, len(want) / 2, len(want) - 1} {
			if size < 0 || size >= len(want) {
				continue
			}
			if n, used, err := Block(dst[:size], stream); err != nil || used != -1 || n != size || !bytes.Equal(dst[:n], want[:n]) {
				t.Errorf("%s: block of %d: %d, %v", name, size, n, err)
			}
		}
	}
}

// FuzzBlock compares with the standard library, on what it accepts and on what it
// refuses.
func FuzzBlock(f *testing.F) {
	for _, p := range contents(f) {
		p = p[:min(len(p), 5000)]
		for _, level := range []int{-2, 0, 1, 9} {
			f.Add(pack(f, p, level, writers["std"]))
		}
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		dst := make([]byte, 70_000)
		n, used, err := Block(dst, src)
		in := bytes.NewReader(src)
		want, stdErr := io.ReadAll(io.LimitReader(flate.NewReader(in), int64(len(dst))+1))
		if len(want) > len(dst) {
			if err != nil || used != -1 || !bytes.Equal(dst, want[:len(dst)]) {
				t.Fatalf("more than a block: %d bytes, %d used, %v", n, used, err)
			}
			return
		}
		if (err == nil) != (stdErr == nil) {
			t.Fatalf("we say %v after %d bytes, the standard library %v after %d", err, n, stdErr, len(want))
		}
		if err == nil && (!bytes.Equal(dst[:n], want) || used != len(src)-in.Len()) {
			t.Fatalf("%d bytes of %d, %d used of %d", n, len(want), used, len(src)-in.Len())
		}
	})
}

func BenchmarkBlock(b *testing.B) {
	want := contents(b)["program"][:64<<10]
	stream := pack(b, want, 6, writers["std"])
	dst := make([]byte, len(want))
	b.Run("ours", func(b *testing.B) {
		b.SetBytes(int64(len(dst)))
		for b.Loop() {
			if n, _, err := Block(dst, stream); n != len(dst) || err != nil {
				b.Fatal(n, err)
			}
		}
	})
	b.Run("klauspost", func(b *testing.B) {
		b.SetBytes(int64(len(dst)))
		in := bytes.NewReader(stream)
		r := fast.NewReader(in)
		for b.Loop() {
			in.Reset(stream)
			r.(fast.Resetter).Reset(in, nil)
			if _, err := io.ReadFull(r, dst); err != nil {
				b.Fatal(err)
			}
		}
	})
}
