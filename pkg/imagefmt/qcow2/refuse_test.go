package qcow2

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/imagefmttest"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// TestRefuse opens what must not be opened, and checks the reason. No other file
// may be asked for where the header alone decides.
func TestRefuse(t *testing.T) {
	tests := []struct {
		name   string
		create string
		patch  func(b *bench)
		want   error
		text   string
	}{
		{"aes", "--object secret,id=s,data=abc -o encrypt.format=aes,encrypt.key-secret=s", nil, ondisk.ErrEncrypted, "AES"},
		{"json backing", "-u -b json:{\"driver\":\"null-co\"} -F raw", nil, ondisk.ErrUnsupported, "json"},
		{"url backing", "-u -b nbd://host/x -F raw", nil, ondisk.ErrUnsupported, "nbd"},
		{"absolute backing", "-u -b /etc/hostname -F raw", nil, ondisk.ErrBlocked, "/etc/hostname"},
		{"missing backing", "-u -b nowhere -F raw", nil, os.ErrNotExist, "nowhere"},
		{"loop", "-u -b disk.qcow2 -F qcow2", nil, ondisk.ErrCorrupt, "leads back"},
		{"unknown feature", "", func(b *bench) { b.patch("disk.qcow2", 72, be64(1<<40)) }, ondisk.ErrUnsupported, "bit 40"},
		{"corrupt bit", "", func(b *bench) { b.patch("disk.qcow2", 72, be64(incompatCorrupt)) }, ondisk.ErrCorrupt, "marked as corrupt"},
		{"version 4", "", func(b *bench) { b.patch("disk.qcow2", 4, []byte{0, 0, 0, 4}) }, ondisk.ErrUnsupported, "version 4"},
		{"huge cluster", "", func(b *bench) { b.patch("disk.qcow2", 20, []byte{0, 0, 0, 63}) }, ondisk.ErrCorrupt, "63"},
		{"huge L1", "", func(b *bench) { b.patch("disk.qcow2", 36, []byte{0x20, 0, 0, 0}) }, ondisk.ErrTooBig, "L1 table"},
		{"small L1", "", func(b *bench) { b.patch("disk.qcow2", 36, []byte{0, 0, 0, 0}) }, ondisk.ErrCorrupt, "l1_size"},
		{"huge disk", "", func(b *bench) { b.patch("disk.qcow2", 24, be64(1<<63)) }, ondisk.ErrTooBig, "size"},
		{"L1 beyond the file", "", func(b *bench) { b.patch("disk.qcow2", 40, be64(1<<40)) }, ondisk.ErrCorrupt, "truncated"},
		{"not qcow2", "", func(b *bench) { b.patch("disk.qcow2", 0, []byte("KDMV")) }, ondisk.ErrFormat, "magic"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t)
			b.img("create -q -f qcow2 " + tt.create + " @disk.qcow2 4M")
			if tt.patch != nil {
				tt.patch(b)
			}
			src := b.folder().Get("disk.qcow2")
			_, err := registry.Open(context.Background(), src, "qcow2", imagefmt.OpenOptions{})
			if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("error %v", err)
			}
		})
	}
}

// TestDescribeEncrypted describes what Open refuses. Making a real LUKS header
// takes QEMU seconds; the method in the header decides alone.
func TestDescribeEncrypted(t *testing.T) {
	b := newBench(t)
	b.img("create -q -f qcow2 @disk.qcow2 4M")
	b.patch("disk.qcow2", 32, []byte{0, 0, 0, cryptLUKS})
	src := b.folder().Get("disk.qcow2")
	_, err := Format{}.Open(context.Background(), src, imagefmt.OpenOptions{})
	if !errors.Is(err, ondisk.ErrEncrypted) || !strings.Contains(err.Error(), "LUKS") {
		t.Errorf("error %v", err)
	}
	info, err := Format{}.Describe(context.Background(), src, imagefmt.OpenOptions{})
	if err != nil || !info.Encrypted || info.VirtualSize != 4<<20 {
		t.Errorf("info %+v, %v", info, err)
	}
}

// TestUnknownFeatureName takes the name of a feature from the image, as text that
// somebody else chose.
func TestUnknownFeatureName(t *testing.T) {
	b := newBench(t)
	b.img("create -q -f qcow2 @disk.qcow2 4M")
	b.patch("disk.qcow2", 72, be64(1<<40))
	b.patch("disk.qcow2", 0x79, append([]byte{40}, "evil\x1b[2J\x00"...))
	_, err := Format{}.Open(context.Background(), b.folder().Get("disk.qcow2"), imagefmt.OpenOptions{})
	if !errors.Is(err, ondisk.ErrUnsupported) || !strings.Contains(err.Error(), `bit 40 ("evil\x1b[2J")`) {
		t.Errorf("error %v", err)
	}
}

func TestRefuseBackingWithoutFormat(t *testing.T) {
	b := newBench(t)
	b.write("base", make([]byte, 1<<20))
	b.img("create -q -f qcow2 -u -b base -F raw @disk.qcow2 1M")
	raw := b.read("disk.qcow2")
	at := bytes.Index(raw, []byte{0xe2, 0x79, 0x2a, 0xca})
	b.patch("disk.qcow2", int64(at), []byte("xxxx")) // an unknown extension
	_, err := registry.Open(context.Background(), b.folder().Get("disk.qcow2"), "", imagefmt.OpenOptions{})
	if !errors.Is(err, ondisk.ErrUnsupported) || !strings.Contains(err.Error(), "without its format") {
		t.Errorf("error %v", err)
	}
}

// TestDescribeOpensNothing describes images whose references lead nowhere.
func TestDescribeOpensNothing(t *testing.T) {
	b := newBench(t)
	b.img("create -q -f qcow2 -u -b /nowhere/base.vmdk -F vmdk @disk.qcow2 4M")
	info, err := imagefmt.Describe(context.Background(), Format{}, alone{b.folder().Get("disk.qcow2"), t}, imagefmt.OpenOptions{})
	if err != nil || info.Backing == nil || *info.Backing != (imagefmt.Reference{Name: "/nowhere/base.vmdk", Format: "vmdk"}) {
		t.Errorf("info %+v, %v", info, err)
	}
}

// alone fails the test when another file is asked for.
type alone struct {
	*imagefmttest.MemFile
	t *testing.T
}

func (a alone) Sibling(name string) (imagefmt.Source, error) {
	a.t.Errorf("asked for %q", name)
	return nil, ondisk.ErrBlocked
}

// TestTruncated cuts images; what can still be read must be right.
func TestTruncated(t *testing.T) {
	for _, options := range []string{"", "-c", "-o preallocation=metadata", "-o extended_l2=on", "-c -o compression_type=zstd"} {
		b := newBench(t)
		want := pattern(diskSize, 12)
		b.write("in.raw", want)
		b.img("convert -f raw -O qcow2 " + options + " @in.raw @disk.qcow2")
		whole := b.read("disk.qcow2")
		for _, percent := range []int{1, 25, 50, 75, 99} {
			src := imagefmttest.NewSource("cut", whole[:len(whole)*percent/100])
			img, err := Format{}.Open(context.Background(), src, imagefmt.OpenOptions{})
			var got []byte
			if err == nil {
				got, err = tryReadAll(img)
			}
			if err == nil && bytes.Equal(got, want) {
				continue // only the unused end of the last cluster was lost
			}
			if !errors.Is(err, ondisk.ErrCorrupt) {
				t.Errorf("%q cut at %d%%: error %v", options, percent, err)
			}
		}
	}
}
