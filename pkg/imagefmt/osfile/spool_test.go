package osfile

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"testing"

	"github.com/vmconv/vmconv/pkg/imagefmt/imagefmttest"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// TestSpool: a stream can be read from both ends, its zeros are holes, and
// nothing of it stays in the folder.
func TestSpool(t *testing.T) {
	dir := t.TempDir()
	for _, size := range []int{0, 1, spoolStep - 1, spoolStep, 5*spoolStep + 12345} {
		content := imagefmttest.Pattern(0, size, 5)
		if size > 4*spoolStep {
			clear(content[spoolStep : 4*spoolStep])
		}
		s, err := Spool(context.Background(), io.MultiReader(bytes.NewReader(content[:size/3]), bytes.NewReader(content[size/3:])), "-", dir, nil)
		if err != nil {
			t.Fatal(err)
		}
		imagefmttest.Device(t, s, content)
		if size > 4*spoolStep {
			if e, err := s.(*source).NextExtent(spoolStep, spoolStep); err != nil || e.Kind.String() != "zero" {
				t.Errorf("zeros were stored: %v, %v", e, err)
			}
		}
		if _, err := s.Sibling("x"); !errors.Is(err, ondisk.ErrBlocked) {
			t.Errorf("a stream has a sibling: %v", err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

type hanging struct{ cancel func() }

func (h hanging) Read([]byte) (int, error) {
	h.cancel()
	select {}
}

// TestSpoolCancel: a stream that hangs does not keep us.
func TestSpoolCancel(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	if _, err := Spool(ctx, hanging{cancel}, "-", t.TempDir(), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
