//go:build linux

package vmdk

import (
	"bytes"
	"strings"
	"testing"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/imagefmttest"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// TestCheckFinds what is wrong with an image.
func TestCheckFinds(t *testing.T) {
	content := bytes.Repeat([]byte("full"), 1<<18)
	image := smallSparse(t, content)
	const table, backup = 27 * sectorSize, 22 * sectorSize
	for _, tt := range []struct {
		name     string
		off      int
		patch    []byte
		corrupt  bool
		findings string
	}{
		{"twice", table, image[table+4 : table+8], true, "used twice"},
		{"beyond", table, []byte{0, 0, 0, 9}, true, "beyond the end"},
		{"in the tables", table, []byte{22, 0, 0, 0}, true, "used twice"},
		{"copy differs", backup, []byte{0, 0, 0, 0}, true, "not like the first one"},
		{"copy beyond", 48, []byte{0, 0, 0, 9}, true, "beyond the end"},
		{"zeros without a flag", table, []byte{1, 0, 0, 0}, true, "zeroed grain"},
		{"not used", table, []byte{0, 0, 0, 0}, false, "65536 bytes are not used"},
	} {
		src := imagefmttest.NewSource("disk.vmdk", patched(image, tt.off, tt.patch))
		r, err := Format{}.Check(t.Context(), src, imagefmt.OpenOptions{Limits: ondisk.Limits{Table: 4096}}, nil)
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		found := strings.Join(append(r.Corruptions, r.Leaks...), "\n")
		if (r.Corrupt > 0) != tt.corrupt && tt.corrupt || !strings.Contains(found, tt.findings) {
			t.Errorf("%s: %+v", tt.name, r)
		}
	}
}

func patched(p []byte, off int, with []byte) []byte {
	p = bytes.Clone(p)
	copy(p[off:], with)
	return p
}
