package vhd

import (
	"encoding/binary"
	"path/filepath"
	"testing"

	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

func TestSizes(t *testing.T) {
	for _, tt := range []struct {
		v    any
		want int
	}{{diskFooter{}, footerSize}, {diskHeader{}, headerSize}, {diskLocator{}, 24}} {
		if got := binary.Size(tt.v); got != tt.want {
			t.Errorf("%T: %d bytes, want %d", tt.v, got, tt.want)
		}
	}
}

// TestGeometry holds the appendix' algorithm against qemu-img, which rounds disks
// up to a geometry.
func TestGeometry(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.vhd")
	for _, size := range []string{"512", "40M", "300M", "503M", "504M", "505M", "2G", "32G", "127G", "128G", "2039G"} {
		testtool.Run(t, "qemu-img", "create", "-q", "-f", "vpc", path, size)
		f, err := readTail(load(t, path))
		if err != nil || f == nil {
			t.Fatal(f, err)
		}
		if c, h, s := chs(f.size() / sectorSize); c != f.Cylinders || h != f.Heads || s != f.Sectors {
			t.Errorf("%d bytes: %d/%d/%d, want %d/%d/%d", f.size(), c, h, s, f.Cylinders, f.Heads, f.Sectors)
		}
	}
}

func TestBits(t *testing.T) {
	p := make([]byte, 5)
	setBits(p, 3, 29)
	for i := range int64(40) {
		if bit(p, i) != (i >= 3 && i < 29) {
			t.Errorf("bit %d is %v", i, bit(p, i))
		}
	}
	for _, tt := range []struct {
		from int64
		set  bool
		end  int64
	}{{0, false, 3}, {3, true, 29}, {8, true, 29}, {28, true, 29}, {29, false, 40}, {33, false, 40}} {
		if set, end := scanBits(p, tt.from, 40); set != tt.set || end != tt.end {
			t.Errorf("from %d: %v to %d", tt.from, set, end)
		}
	}
}
