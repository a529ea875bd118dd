package osfile

import (
	"errors"
	"os"
	"testing"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

func TestCheckLength(t *testing.T) {
	dir := t.TempDir()
	if err := CheckLength(dir, 3<<40); err != nil {
		t.Error(err)
	}
	if err := CheckLength(dir, 1<<62); !errors.Is(err, ondisk.ErrNoSpace) {
		t.Errorf("a file of 4 EiB: %v", err)
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
