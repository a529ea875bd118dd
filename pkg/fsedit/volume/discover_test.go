package volume_test

import (
	"context"
	"encoding/binary"
	"slices"
	"testing"

	"github.com/vmconv/vmconv/pkg/fsedit/volume"
	"github.com/vmconv/vmconv/pkg/fsedit/volume/gpt"
	"github.com/vmconv/vmconv/pkg/fsedit/volume/mbr"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
)

func TestDiskName(t *testing.T) {
	for i, want := range map[int]string{0: "sda", 25: "sdz", 26: "sdaa", 51: "sdaz", 52: "sdba", 701: "sdzz", 702: "sdaaa"} {
		if got := volume.DiskName("sd", i); got != want {
			t.Errorf("disk %d is %s, not %s", i, got, want)
		}
	}
}

// handmade is a disk of 1 MiB with the given MBR entries: type, start, sectors.
func handmade(entries ...[3]uint32) []byte {
	p := make([]byte, 1<<20)
	p[510], p[511] = 0x55, 0xaa
	for i, e := range entries {
		at := p[446+16*i:]
		at[4] = byte(e[0])
		binary.LittleEndian.PutUint32(at[8:], e[1])
		binary.LittleEndian.PutUint32(at[12:], e[2])
	}
	return p
}

// TestWholeDiskFilesystem: a filesystem that fills the disk wins over what is no
// real table, and loses to what is.
func TestWholeDiskFilesystem(t *testing.T) {
	fat := handmade()
	copy(fat[446:], "boot code and words")
	for _, c := range []struct {
		name  string
		disk  []byte
		claim int64 // bytes the filesystem claims; 0 is none
		want  []string
	}{
		{"nothing", make([]byte, 1<<20), 0, []string{"sda"}},
		{"empty table", handmade(), 1 << 20, []string{"sda"}},
		{"boot sector", fat, 1 << 20, []string{"sda"}},
		{"overlap", handmade([3]uint32{0x83, 8, 100}, [3]uint32{0x83, 50, 100}), 1 << 20, []string{"sda"}},
		{"overlap, no filesystem", handmade([3]uint32{0x83, 8, 100}, [3]uint32{0x83, 50, 100}), 0, []string{"sda", "sda1", "sda2"}},
		{"overlap, small filesystem", handmade([3]uint32{0x83, 8, 100}, [3]uint32{0x83, 50, 100}), 1 << 19, []string{"sda", "sda1", "sda2"}},
		{"overlap, too big filesystem", handmade([3]uint32{0x83, 8, 100}, [3]uint32{0x83, 50, 100}), 1 << 21, []string{"sda", "sda1", "sda2"}},
		{"table", handmade([3]uint32{0x83, 8, 100}), 1 << 20, []string{"sda", "sda1"}},
		{"protective table alone", handmade([3]uint32{0xee, 1, 2047}), 0, []string{"sda"}},
	} {
		opts := volume.DiscoverOptions{Filesystem: func(dev blockdev.Device) (int64, bool, error) { return c.claim, c.claim > 0, nil }}
		vols, err := volume.Discover(context.Background(), []blockdev.Device{blockdev.FromBytes(c.disk)}, tables(), opts)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if got := ids(vols); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, not %q", c.name, got, c.want)
		}
	}
}

// TestNoTableInPartition: the kernel does not look for tables in partitions.
func TestNoTableInPartition(t *testing.T) {
	disk := handmade([3]uint32{0x83, 8, 100})
	copy(disk[8*512:], handmade([3]uint32{0x83, 4, 10})[:512])
	vols, err := volume.Discover(context.Background(), []blockdev.Device{blockdev.FromBytes(disk), blockdev.FromBytes(disk)}, tables(), volume.DiscoverOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := ids(vols), []string{"sda", "sda1", "sdb", "sdb1"}; !slices.Equal(got, want) {
		t.Errorf("%q, not %q", got, want)
	}
}

// TestExtendedLoop: a chain that bites its tail ends.
func TestExtendedLoop(t *testing.T) {
	disk := handmade([3]uint32{0x05, 100, 1000})
	ebr := handmade([3]uint32{0x83, 1, 10}, [3]uint32{0x05, 0, 100})
	copy(disk[100*512:], ebr[:512])
	var notices []string
	opts := volume.DiscoverOptions{Options: volume.Options{Notice: func(s string) { notices = append(notices, s) }}}
	vols, err := volume.Discover(context.Background(), []blockdev.Device{blockdev.FromBytes(disk)}, tables(), opts)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := ids(vols), []string{"sda", "sda5"}; !slices.Equal(got, want) || len(notices) != 1 {
		t.Errorf("%q, not %q; notices %q", got, want, notices)
	}
}

func tables() []volume.Mapper { return []volume.Mapper{gpt.Mapper{}, mbr.Mapper{}} }

func ids(vols []volume.Volume) []string {
	var out []string
	for _, v := range vols {
		out = append(out, v.ID)
	}
	return out
}
