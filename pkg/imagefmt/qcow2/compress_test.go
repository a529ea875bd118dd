package qcow2

import (
	"bytes"
	"context"
	"os"
	"testing"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/imagefmttest"
)

// TestLevels: the levels of both codecs make images that qemu-img reads, and
// the last is smaller than the first.
func TestLevels(t *testing.T) {
	content := program(t, 2<<20)
	for _, codec := range []string{"zlib", "zstd"} {
		b := newBench(t)
		var sizes []int64
		for _, level := range []int{1, 4, 6, maxLevel} {
			sink := imagefmttest.NewSink("out")
			w, err := Format{}.Create(context.Background(), sink, int64(len(content)), levelOptions(codec, level))
			if err != nil {
				t.Fatal(err)
			}
			writePieces(t, w, content)
			if err := w.Finish(context.Background()); err != nil {
				t.Fatal(err)
			}
			b.save("out.qcow2", sink.File())
			if !bytes.Equal(b.truth("out.qcow2"), content) {
				t.Errorf("%s level %d: qemu-img reads something else", codec, level)
			}
			sizes = append(sizes, sink.File().Size())
		}
		if sizes[0] <= sizes[len(sizes)-1] {
			t.Errorf("%s: sizes by level are %d", codec, sizes)
		}
	}
}

// program is the begin of this very program: bytes as guests have them.
func program(t *testing.T, n int) []byte {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p, err := os.ReadFile(path)
	if err != nil || len(p) < n {
		t.Fatalf("%d bytes of %s: %v", len(p), path, err)
	}
	return p[:n]
}

func levelOptions(codec string, level int) imagefmt.CreateOptions {
	return imagefmt.CreateOptions{Compress: true, Codec: codec, Level: level}
}

func TestCodec(t *testing.T) {
	create := func(codec string, level int, words string) error {
		o := createOptions(words)
		o.Codec, o.Level = codec, level
		_, err := Format{}.Create(context.Background(), imagefmttest.NewSink("x"), 1<<20, o)
		return err
	}
	for _, ok := range []error{
		create("zlib", 0, "-c"), create("zstd", 9, "-c"), create("zstd", 1, "-c compression_type=zstd"),
	} {
		if ok != nil {
			t.Error(ok)
		}
	}
	for _, bad := range []error{
		create("zlib", 0, "-c compression_type=zstd"), create("lzma", 0, "-c"), create("zstd", 0, "-c compat=0.10"),
		create("zlib", 10, "-c"), create("zlib", -1, "-c"),
	} {
		if bad == nil {
			t.Error("accepted")
		}
	}
}
