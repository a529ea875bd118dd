package convert

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/imagefmttest"
	"github.com/vmconv/vmconv/pkg/imagefmt/qcow2"
	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

// packedDisk is a disk in a compressed image that qemu-img wrote.
func packedDisk(t *testing.T, content []byte, options ...string) Disk {
	t.Helper()
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in.raw"), filepath.Join(dir, "in.qcow2")
	if err := os.WriteFile(in, content, 0o600); err != nil {
		t.Fatal(err)
	}
	args := append([]string{"convert", "-t", "unsafe", "-c", "-f", "raw", "-O", "qcow2"}, options...)
	testtool.Run(t, "qemu-img", append(args, in, out)...)
	file, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	img, err := qcow2.Format{}.Open(context.Background(), imagefmttest.NewSource("in.qcow2", file), imagefmt.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return Disk{Name: "in.qcow2", Image: img, Overlay: blockdev.NewOverlay(img, blockdev.OverlayOptions{})}
}

func copiedDisk(t *testing.T, d Disk, values map[string]string) (file []byte, moved int64) {
	t.Helper()
	ctx := context.Background()
	sink := imagefmttest.NewSink("out")
	w, err := qcow2.Format{}.Create(ctx, sink, d.Overlay.Size(), imagefmt.CreateOptions{Compress: true, Values: values})
	if err != nil {
		t.Fatal(err)
	}
	saved, err := CopyDisk(ctx, w, d, true, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Finish(ctx); err != nil {
		t.Fatal(err)
	}
	return sink.File().Bytes(), saved.Moved
}

// expectDisk has qemu-img check an image and read it.
func expectDisk(t *testing.T, file []byte, want blockdev.Device) {
	t.Helper()
	dir := t.TempDir()
	out, raw := filepath.Join(dir, "out.qcow2"), filepath.Join(dir, "out.raw")
	if err := os.WriteFile(out, file, 0o600); err != nil {
		t.Fatal(err)
	}
	testtool.Run(t, "qemu-img", "check", "-f", "qcow2", out)
	testtool.Run(t, "qemu-img", "convert", "-t", "unsafe", "-f", "qcow2", "-O", "raw", out, raw)
	got, err := os.ReadFile(raw)
	if err != nil {
		t.Fatal(err)
	}
	plain := make([]byte, want.Size())
	if _, err := want.ReadAt(plain, 0); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, plain) {
		t.Error("qemu-img reads something else")
	}
}

func sparseBytes(t *testing.T) []byte {
	t.Helper()
	d := sparse()
	p := make([]byte, d.Size())
	if _, err := d.ReadAt(p, 0); err != nil {
		t.Fatal(err)
	}
	return p
}

// packedBytes is how much of the regular part of [sparse] is in whole clusters
// that shrink; the noise before it does not.
const packedBytes = 7<<20 - 64<<10

func TestMoveDisk(t *testing.T) {
	zstd := map[string]string{"compression_type": "zstd"}
	tests := []struct {
		name   string
		source []string
		values map[string]string
		moves  bool
	}{
		{"zlib", nil, nil, true},
		{"zstd", []string{"-o", "compression_type=zstd"}, zstd, true},
		{"clusters of 2M", []string{"-o", "cluster_size=2M"}, map[string]string{"cluster_size": "2M"}, true},
		{"clusters of 4k", []string{"-o", "cluster_size=4k"}, map[string]string{"cluster_size": "4k"}, true},
		{"other codec", nil, zstd, false},
		{"other clusters", nil, map[string]string{"cluster_size": "32k"}, false},
	}
	content := sparseBytes(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := packedDisk(t, content, tt.source...)
			file, moved := copiedDisk(t, d, tt.values)
			expectDisk(t, file, blockdev.FromBytes(content))
			if tt.moves != (moved >= packedBytes) || !tt.moves && moved != 0 {
				t.Errorf("%d bytes were moved", moved)
			}
		})
	}
}

// TestMoveOverlay: what was written or discarded is not the image's any more.
func TestMoveOverlay(t *testing.T) {
	d := packedDisk(t, sparseBytes(t))
	_, all := copiedDisk(t, d, nil)
	if _, err := d.Overlay.WriteAt([]byte("changed"), 22<<20+100); err != nil {
		t.Fatal(err)
	}
	if err := d.Overlay.Discard(24<<20+1, 512); err != nil {
		t.Fatal(err)
	}
	file, moved := copiedDisk(t, d, nil)
	expectDisk(t, file, d.Overlay)
	if moved != all-2*64<<10 {
		t.Errorf("%d bytes were moved, %d without changes", moved, all)
	}
	for _, cores := range []int{1, 7} {
		old := runtime.GOMAXPROCS(cores)
		again, _ := copiedDisk(t, d, nil)
		runtime.GOMAXPROCS(old)
		if !bytes.Equal(file, again) {
			t.Errorf("other bytes on %d cores", cores)
		}
	}
}

// TestMoveAgain: an image that is converted again and again does not grow by what
// lies behind its streams.
func TestMoveAgain(t *testing.T) {
	d := packedDisk(t, sparseBytes(t))
	first, _ := copiedDisk(t, d, nil)
	file := first
	for range 5 {
		img, err := qcow2.Format{}.Open(context.Background(), imagefmttest.NewSource("in.qcow2", file), imagefmt.OpenOptions{})
		if err != nil {
			t.Fatal(err)
		}
		file, _ = copiedDisk(t, Disk{Image: img, Overlay: blockdev.NewOverlay(img, blockdev.OverlayOptions{})}, nil)
	}
	if len(file) > len(first)+64<<10 {
		t.Errorf("%d bytes after five rounds, %d after the first", len(file), len(first))
	}
}
