package swap

import (
	"context"
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

const uuid = "d7675979-da5f-4646-aa4d-1b1648fecaa1"

func TestLayout(t *testing.T) {
	if n := binary.Size(header{}); n != headerLen {
		t.Errorf("the header takes %d bytes, not %d", n, headerLen)
	}
}

// make lets mkswap make a swap space of 1 MiB.
func made(t *testing.T, page int) []byte {
	img := filepath.Join(t.TempDir(), "swap")
	if err := os.WriteFile(img, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	testtool.Run(t, "mkswap", "-q", "-U", uuid, "-L", "zwischen", "-p", strconv.Itoa(page), img)
	p, err := os.ReadFile(img)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestMadeByMkswap(t *testing.T) {
	for page := 4096; page <= 65536; page *= 2 {
		dev := blockdev.FromBytes(made(t, page))
		want := filesys.Ident{Type: "swap", UUID: uuid, Label: "zwischen", Size: 1 << 20}
		if match, id, err := (Driver{}).Probe(dev); err != nil || match != ondisk.Sure || id != want {
			t.Fatalf("pages of %d: %v %+v %v", page, match, id, err)
		}
		if got, want := free(t, dev), []filesys.Range{{Off: int64(page), Len: 1<<20 - int64(page)}}; !slices.Equal(got, want) {
			t.Errorf("pages of %d: free %v, not %v", page, got, want)
		}
	}
}

func TestHibernated(t *testing.T) {
	p := made(t, 4096)
	copy(p[4086:], "S1SUSPEND\x00")
	dev := blockdev.FromBytes(p)
	if got := free(t, dev); got != nil {
		t.Errorf("free %v", got)
	}
	v, err := Driver{}.Open(context.Background(), []blockdev.Device{dev}, filesys.Options{})
	if err != nil || !slices.Contains(v.Info().Notices, Hibernated) {
		t.Errorf("%v, notices %q", err, v.Info().Notices)
	}
}

func TestCutShort(t *testing.T) {
	p := made(t, 4096)
	if got := free(t, blockdev.FromBytes(p[:1<<19])); got != nil {
		t.Errorf("free %v of a space that ends beyond its device", got)
	}
}

func free(t *testing.T, dev blockdev.Device) []filesys.Range {
	t.Helper()
	v, err := Driver{}.Open(context.Background(), []blockdev.Device{dev}, filesys.Options{})
	if err != nil {
		t.Fatal(err)
	}
	r, err := v.FreeExtents(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func FuzzOpen(f *testing.F) {
	p := make([]byte, 8192)
	p[headerOff] = 1
	copy(p[4086:], magic)
	f.Add(p)
	f.Fuzz(func(t *testing.T, p []byte) {
		v, err := Driver{}.Open(context.Background(), []blockdev.Device{blockdev.FromBytes(p)}, filesys.Options{})
		if err != nil {
			return
		}
		r, _ := v.FreeExtents(context.Background())
		for _, x := range r {
			if x.Off+x.Len > int64(len(p)) {
				t.Errorf("free %v of %d bytes", x, len(p))
			}
		}
	})
}
