package signature

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/imagefmttest"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

// made is how each kind gets on a device; %s is its file.
var made = []struct {
	name string
	tool string
	args string
	size int64
}{
	{"btrfs", "mkfs.btrfs", "-q -f -L blab %s", 128 << 20},
	{"ntfs", "mkfs.ntfs", "-q -F -f %s", 16 << 20},
	{"exfat", "mkfs.exfat", "%s", 16 << 20},
	{"f2fs", "mkfs.f2fs", "-q -f %s", 64 << 20},
	{"luks 1", "cryptsetup", "-q luksFormat --type luks1 --pbkdf-force-iterations 1000 --key-file /etc/os-release %s", 32 << 20},
	{"luks 2", "cryptsetup", "-q luksFormat --type luks2 --label ll --pbkdf pbkdf2 --pbkdf-force-iterations 1000 --key-file /etc/os-release %s", 32 << 20},
}

// TestAgreesWithBlkid makes each kind with its own tool and compares with what
// blkid says.
func TestAgreesWithBlkid(t *testing.T) {
	testtool.Need(t, "blkid")
	for _, m := range made {
		t.Run(m.name, func(t *testing.T) {
			testtool.Need(t, m.tool)
			img := filepath.Join(t.TempDir(), "x.img")
			f, err := os.Create(img)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if err := f.Truncate(m.size); err != nil {
				t.Fatal(err)
			}
			testtool.Run(t, m.tool, strings.Fields(strings.ReplaceAll(m.args, "%s", img))...)
			want := blkid(t, img)
			got, err := identify(device{f, m.size})
			if err != nil {
				t.Fatal(err)
			}
			if got.Type != want["TYPE"] || got.UUID != want["UUID"] || got.Label != want["LABEL"] {
				t.Errorf("%+v, blkid says %v", got, want)
			}
			if got.Size > m.size || got.Size < m.size-m.size/10 {
				t.Errorf("claims %d bytes of %d", got.Size, m.size)
			}
		})
	}
}

func identify(dev blockdev.Device) (filesys.Ident, error) {
	id, match, err := Container(dev)
	if match == ondisk.None && err == nil {
		id, _, err = Foreign(dev)
	}
	return id, err
}

func blkid(t *testing.T, img string) map[string]string {
	out := map[string]string{}
	for _, line := range strings.Split(testtool.Run(t, "blkid", "-p", "-o", "export", img), "\n") {
		k, v, _ := strings.Cut(line, "=")
		out[k] = v
	}
	return out
}

// device is a file of the host.
type device struct {
	*os.File
	size int64
}

func (d device) Size() int64 { return d.size }

// TestRAID: where the superblocks of md lie, by a superblock made by hand.
func TestRAID(t *testing.T) {
	const size = 1<<20 + 12345
	for _, c := range []struct {
		off     int64
		version byte
	}{{0, 1}, {4096, 1}, {(size/512 - 16) &^ 7 * 512, 1}, {size&^0xffff - 0x10000, 0}} {
		disk := imagefmttest.NewSource("x", make([]byte, size))
		sb := make([]byte, 256)
		copy(sb, raidMagic)
		sb[4] = c.version
		sb[20] = 7
		if _, err := disk.WriteAt(sb, c.off); err != nil {
			t.Fatal(err)
		}
		id, match, err := Container(disk)
		if err != nil || match != ondisk.Sure || id.Type != "linux_raid_member" || id.UUID == "" {
			t.Errorf("at %d: %+v %v %v", c.off, id, match, err)
		}
	}
}

func FuzzIdentify(f *testing.F) {
	for _, kinds := range [][]kind{containers, foreigners} {
		for _, k := range kinds {
			p := make([]byte, k.off+k.len)
			copy(p[k.off+int64(k.at):], k.magic)
			f.Add(p)
		}
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		if id, err := identify(blockdev.FromBytes(p)); err != nil || id.Size < 0 {
			t.Error(id, err)
		}
	})
}
