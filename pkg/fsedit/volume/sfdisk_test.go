package volume_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vmconv/vmconv/pkg/fsedit/volume"
	"github.com/vmconv/vmconv/pkg/fsedit/volume/gpt"
	"github.com/vmconv/vmconv/pkg/fsedit/volume/mbr"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

// part is what sfdisk and volume both know of a partition.
type part struct {
	Number   int
	Off, Len int64
	Type     string
	UUID     string
	Name     string
	Boot     bool
}

// layouts are sfdisk scripts; sector is the sector size of the disk.
var layouts = []struct {
	name   string
	sector int
	script string
}{
	{"mbr", 512, "label: dos\nlabel-id: 0x4f1c7d2a\nsize=4M, type=83, bootable\nsize=2M, type=82\n"},
	{"mbr gap in slots", 512, "label: dos\n2 : size=4M, type=83\n4 : size=4M, type=8e\n"},
	{"mbr logical", 512, "label: dos\nsize=4M\nsize=1M\nsize=20M, type=f\n4 : size=1M\n" +
		"5 : size=2M, type=83\n6 : size=3M, type=82\n7 : size=4M, type=fd, bootable\n"},
	{"mbr old extended", 512, "label: dos\nsize=20M, type=5\n5 : size=2M\n6 : size=3M\n"},
	{"mbr logical 4k", 4096, "label: dos\nsize=4M\nsize=20M, type=f\n5 : size=2M\n6 : size=3M\n"},
	{"gpt", 512, "label: gpt\nsize=1M, type=21686148-6449-6E6F-744E-656564454649, attrs=LegacyBIOSBootable\n" +
		"size=8M, type=uefi, name=\"EFI söstem\"\ntype=linux, name=root\n"},
	{"gpt slot 128", 512, "label: gpt\n128 : size=4M\n3 : size=4M, name=\"three\"\n"},
	{"gpt long table", 512, "label: gpt\ntable-length: 256\n1 : size=4M\n256 : size=1M\n"},
	{"gpt 4k", 4096, "label: gpt\nsize=4M, type=uefi\nsize=8M, name=root\n"},
	{"gpt none", 512, "label: gpt\n"},
}

func TestAgreesWithSfdisk(t *testing.T) {
	testtool.Need(t, "sfdisk", "losetup")
	for _, l := range layouts {
		t.Run(l.name, func(t *testing.T) {
			img := newDisk(t, 64<<20)
			want := partition(t, img, l.sector, l.script)
			got, notices := discover(t, img, l.sector)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("partitions (-sfdisk +ours):\n%s", diff)
			}
			if len(notices) > 0 {
				t.Errorf("notices: %q", notices)
			}
		})
	}
}

// TestAgreesOnDamagedGPT damages a table in the ways that disks meet, and asks
// sfdisk for the truth of the whole one.
func TestAgreesOnDamagedGPT(t *testing.T) {
	for _, d := range []struct {
		name   string
		damage func(p []byte) []byte
	}{
		{"primary signature", func(p []byte) []byte { clear(p[512:600]); return p }},
		{"primary checksum", func(p []byte) []byte { p[512+56]++; return p }},
		{"primary entries", func(p []byte) []byte { p[1024+200]++; return p }},
		{"primary and grown", func(p []byte) []byte { p[1024]++; return append(p, make([]byte, 8<<20)...) }},
		{"backup", func(p []byte) []byte { clear(p[len(p)-34*512:]); return p }},
		{"grown", func(p []byte) []byte { return append(p, make([]byte, 8<<20)...) }},
		{"no protective MBR", func(p []byte) []byte { clear(p[:512]); return p }},
		{"hybrid MBR", func(p []byte) []byte { copy(p[462:478], p[446:462]); p[462+4] = 0x83; return p }},
	} {
		t.Run(d.name, func(t *testing.T) {
			img := newDisk(t, 32<<20)
			want := partition(t, img, 512, "label: gpt\nsize=4M, name=boot\nsize=8M, name=root\n")
			p, err := os.ReadFile(img)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(img, d.damage(p), 0o600); err != nil {
				t.Fatal(err)
			}
			got, notices := discover(t, img, 512)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("partitions (-sfdisk +ours):\n%s", diff)
			}
			quiet := d.name == "backup" || d.name == "grown" || d.name == "hybrid MBR"
			if quiet != (len(notices) == 0) {
				t.Errorf("notices: %q", notices)
			}
		})
	}
}

// TestTruncatedDisk cuts a disk inside its last partition.
func TestTruncatedDisk(t *testing.T) {
	for _, label := range []string{"dos", "gpt"} {
		img := newDisk(t, 32<<20)
		want := partition(t, img, 512, "label: "+label+"\nsize=4M\nsize=20M\n")
		if err := os.Truncate(img, 16<<20); err != nil {
			t.Fatal(err)
		}
		got, notices := discover(t, img, 512)
		if diff := cmp.Diff(want[:1], got); diff != "" {
			t.Errorf("%s: partitions (-want +got):\n%s", label, diff)
		}
		if len(notices) != 1 || !strings.Contains(notices[0], "partition 2") {
			t.Errorf("%s: notices: %q", label, notices)
		}
	}
}

func newDisk(t *testing.T, size int64) string {
	t.Helper()
	img := filepath.Join(t.TempDir(), "disk.img")
	if err := os.WriteFile(img, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(img, size); err != nil {
		t.Fatal(err)
	}
	return img
}

// partition lets sfdisk write a table and returns what it then reads from it.
func partition(t *testing.T, img string, sector int, script string) []part {
	t.Helper()
	dev := img
	if sector != 512 {
		dev = strings.TrimSpace(testtool.Run(t, "losetup", "-b", fmt.Sprint(sector), "-f", "--show", img))
		defer testtool.Run(t, "losetup", "-d", dev)
	}
	cmd := exec.Command("sfdisk", "-q", "--no-reread", "--no-tell-kernel", dev)
	cmd.Stdin = strings.NewReader(script)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("sfdisk: %v\n%s", err, out)
	}
	var dump struct {
		PartitionTable struct {
			Label, ID  string
			Partitions []struct {
				Node, Type, UUID, Name, Attrs string
				Start, Size                   int64
				Bootable                      bool
			}
		}
	}
	if err := json.Unmarshal([]byte(testtool.Run(t, "sfdisk", "--json", dev)), &dump); err != nil {
		t.Fatal(err)
	}
	parts := []part{}
	for _, p := range dump.PartitionTable.Partitions {
		if p.Type == "5" || p.Type == "f" {
			continue
		}
		var n int
		fmt.Sscanf(strings.TrimPrefix(strings.TrimPrefix(p.Node, dev), "p"), "%d", &n)
		uuid, typ := strings.ToLower(p.UUID), strings.ToLower(p.Type)
		if dump.PartitionTable.Label == "dos" {
			uuid = fmt.Sprintf("%s-%02x", strings.TrimPrefix(dump.PartitionTable.ID, "0x"), n)
			typ = fmt.Sprintf("%02s", typ)
		}
		parts = append(parts, part{Number: n, Off: p.Start * int64(sector), Len: p.Size * int64(sector), Type: typ,
			UUID: uuid, Name: p.Name, Boot: p.Bootable || strings.Contains(p.Attrs, "LegacyBIOSBootable")})
	}
	return parts
}

// geometry is a device that knows its sectors.
type geometry struct {
	blockdev.Device
	sector int
}

func (g geometry) SectorSize() (logical, physical int) { return g.sector, g.sector }

func discover(t *testing.T, img string, sector int) (parts []part, notices []string) {
	t.Helper()
	p, err := os.ReadFile(img)
	if err != nil {
		t.Fatal(err)
	}
	disk := blockdev.FromBytes(p)
	silent, notices := discoverOn(t, disk)
	if sector == 512 {
		return silent, notices
	}
	told, _ := discoverOn(t, geometry{disk, sector})
	if diff := cmp.Diff(told, silent); diff != "" {
		t.Errorf("a device that knows its sectors and one that does not differ:\n%s", diff)
	}
	return silent, notices
}

func discoverOn(t *testing.T, disk blockdev.Device) (parts []part, notices []string) {
	t.Helper()
	opts := volume.DiscoverOptions{Options: volume.Options{Notice: func(s string) { notices = append(notices, s) }}}
	vols, err := volume.Discover(context.Background(), []blockdev.Device{disk}, []volume.Mapper{gpt.Mapper{}, mbr.Mapper{}}, opts)
	if err != nil {
		t.Fatal(err)
	}
	parts = []part{}
	for _, v := range vols[1:] {
		if v.Parent != "sda" || v.ID != fmt.Sprintf("sda%d", v.Number) || v.Device.Size() != v.Len {
			t.Errorf("volume %+v", v)
		}
		parts = append(parts, part{v.Number, v.Off, v.Len, v.Type, v.UUID, v.Label, v.Bootable})
	}
	return parts, notices
}
