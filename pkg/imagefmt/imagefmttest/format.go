package imagefmttest

import (
	"context"
	"fmt"
	"testing"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

// Config is what the suite has to know about a format. Only Format is required.
type Config struct {
	Format imagefmt.Format
	// Cluster is the format's unit in bytes; sizes around it are tried. 0 means
	// 64 KiB.
	Cluster int64
	// Sector is what the format rounds a disk's size up to; 0 means that it
	// keeps every size.
	Sector int64
	// MaxSize is the largest disk; 0 means at least 1 TiB.
	MaxSize int64
	// Variants are the options to test with; nil means the defaults alone.
	Variants []imagefmt.CreateOptions
	// Headerless formats take every file for an image.
	Headerless bool
}

func (c Config) withDefaults() Config {
	if c.Cluster == 0 {
		c.Cluster = 64 << 10
	}
	if c.Sector == 0 {
		c.Sector = 1
	}
	if c.MaxSize == 0 {
		c.MaxSize = 1 << 40
	}
	if c.Variants == nil {
		c.Variants = []imagefmt.CreateOptions{{}}
	}
	return c
}

// Format runs the conformance suite over one format. What the format cannot do
// (create, update) is left out.
func Format(t *testing.T, cfg Config) {
	cfg = cfg.withDefaults()
	t.Run("registered", func(t *testing.T) { checkNames(t, cfg.Format) })
	creator, ok := cfg.Format.(imagefmt.Creator)
	if !ok {
		t.Logf("format %s cannot be created: only its names are tested", cfg.Format.Name())
		return
	}
	s := &suite{Config: cfg, creator: creator}
	t.Run("refused", s.testRefused)
	for _, v := range testtool.Some(2, cfg.Variants) {
		s.opts = v
		t.Run(variantName(v), func(t *testing.T) {
			t.Run("sizes", s.testSizes)
			t.Run("sparse", s.testSparse)
			t.Run("zeros", s.testZeros)
			t.Run("order", s.testOrder)
			t.Run("end", s.testEnd)
			t.Run("again", s.testAgain)
			t.Run("pipe", s.testPipe)
			t.Run("device", s.testDevice)
			t.Run("blocks", s.testBlocks)
			t.Run("failing sink", s.testFailingSink)
			t.Run("failing source", s.testFailingSource)
			t.Run("cut", s.testCut)
			t.Run("flipped", s.testFlipped)
			t.Run("update", s.testUpdate)
		})
	}
}

func variantName(v imagefmt.CreateOptions) string {
	name := fmt.Sprint(v.Values)
	if v.Compress {
		name += " compressed"
	}
	return name
}

// suite is one format with one set of options.
type suite struct {
	Config
	creator imagefmt.Creator
	opts    imagefmt.CreateOptions
}

func checkNames(t *testing.T, f imagefmt.Format) {
	r := imagefmt.NewRegistry(f)
	if got, err := r.Lookup(f.Name()); err != nil || got != f {
		t.Errorf("Lookup(%q) = %v, %v", f.Name(), got, err)
	}
	for _, content := range [][]byte{nil, make([]byte, 100_000), Pattern(0, 5000, 9)} {
		if m, err := f.Probe(NewSource("x", content)); err != nil || m == ondisk.Sure {
			t.Errorf("Probe of %d bytes that are no image: %v, %v", len(content), m, err)
		}
	}
}

// write creates an image of the given size on sink, with the parts in it.
func (s *suite) write(sink imagefmt.Sink, size int64, parts ...part) error {
	ctx := context.Background()
	w, err := s.creator.Create(ctx, sink, size, s.opts)
	if err != nil {
		return err
	}
	for _, p := range parts {
		if p.zero {
			err = w.Zero(p.off, p.n)
		} else {
			_, err = w.WriteAt(p.bytes(), p.off)
		}
		if err != nil {
			w.Abort()
			return err
		}
	}
	return w.Finish(ctx)
}

// part is a range of a disk: zeros, or the pattern.
type part struct {
	off, n int64
	zero   bool
}

func (p part) bytes() []byte { return Pattern(p.off, int(p.n), 1) }

// disk is what an image of the given size with these parts must hold.
func (s *suite) disk(size int64, parts ...part) []byte {
	disk := make([]byte, ondisk.AlignUp(size, s.Sector))
	for _, p := range parts {
		if !p.zero {
			copy(disk[p.off:], p.bytes())
		}
	}
	return disk
}

// must is write, and a failure ends the test.
func (s *suite) must(t *testing.T, sink *MemSink, size int64, parts ...part) *MemFile {
	t.Helper()
	if err := s.write(sink, size, parts...); err != nil {
		t.Fatalf("creating %d bytes: %v", size, err)
	}
	return sink.File()
}

// open opens what must be an image.
func (s *suite) open(t *testing.T, src imagefmt.Source) imagefmt.Image {
	t.Helper()
	img, err := s.Format.Open(context.Background(), src, imagefmt.OpenOptions{})
	if err != nil {
		t.Fatalf("opening: %v", err)
	}
	return img
}

// sample is a small image with data, gaps and zeros.
func (s *suite) sample() (size int64, parts []part) {
	c := s.Cluster
	return 8*c + 512, []part{
		{off: 100, n: c},
		{off: 3 * c, n: 1000},
		{off: 3*c + 1000, n: c, zero: true},
		{off: 6 * c, n: 2*c + 512},
	}
}
