//go:build linux

package vmdk

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/imagefmttest"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// TestOptionsRefused: what cannot be is refused before the first byte, with a
// word about why, and all problems at once.
func TestOptionsRefused(t *testing.T) {
	for _, c := range []struct {
		words string
		more  imagefmt.CreateOptions
		size  int64
		want  string
	}{
		{"subformat=fast", imagefmt.CreateOptions{}, 1, "subformat"},
		{"adapter_type=nvme hwversion=x", imagefmt.CreateOptions{}, 1, "hwversion"},
		{"adapter_type=nvme hwversion=x", imagefmt.CreateOptions{}, 1, "adapter_type"},
		{"backing_file=a", imagefmt.CreateOptions{}, 1, "backing_file"},
		{"preallocation=full", imagefmt.CreateOptions{}, 1, "preallocation"},
		{"-c subformat=monolithicFlat", imagefmt.CreateOptions{}, 1, "compressed"},
		{"", imagefmt.CreateOptions{Level: 3}, 1, "compressed"},
		{"-c", imagefmt.CreateOptions{Level: 10}, 1, "level 10"},
		{"-c", imagefmt.CreateOptions{Codec: "zstd"}, 1, "zstd"},
		{"", imagefmt.CreateOptions{}, -1, "negative"},
		{"", imagefmt.CreateOptions{}, 65 << 40, "at most"},
		{"subformat=twoGbMaxExtentFlat", imagefmt.CreateOptions{}, 9 << 40, "files"},
	} {
		o := createWith(c.words)
		o.Level, o.Codec = c.more.Level, c.more.Codec
		sink := imagefmttest.NewSink("x")
		_, err := Format{}.Create(t.Context(), sink, c.size, o)
		if !errors.Is(err, ondisk.ErrUnsupported) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q of %d: %v", c.words, c.size, err)
		}
		if sink.File().Size() != 0 {
			t.Errorf("%q: refused, but written to", c.words)
		}
	}
}

// TestPipeRefused: only a stream can be written to a pipe.
func TestPipeRefused(t *testing.T) {
	for _, o := range (Format{}).Options()[0].Choices {
		sink := imagefmttest.NewSink("x")
		sink.Pipe = true
		_, err := Format{}.Create(t.Context(), sink, 1<<20, createWith("subformat="+o))
		if want := o != typeStream; errors.Is(err, ondisk.ErrUnsupported) != want || sink.File().Size() != 0 {
			t.Errorf("%s: %v", o, err)
		}
	}
}

// TestNames: other files are named after the first, and only by names that a
// descriptor can hold.
func TestNames(t *testing.T) {
	for path, stem := range map[string]string{"/a/b.c/disk.vmdk": "disk", "My Disk.VMDK": "My Disk", "disk.img": "disk.img", ".vmdk": ".vmdk", "Größe.vmdk": "Größe"} {
		if n, err := newNames(path, false); err != nil || n.stem != stem {
			t.Errorf("%q: %q, %v", path, n.stem, err)
		}
	}
	for _, path := range []string{"a\"b.vmdk", "a\nb.vmdk", "a\xff.vmdk"} {
		if _, err := newNames(path, false); !errors.Is(err, ondisk.ErrUnsupported) {
			t.Errorf("%q: %v", path, err)
		}
		if n, err := newNames(path, true); err != nil || n.self != "disk.vmdk" {
			t.Errorf("%q alone: %q, %v", path, n.self, err)
		}
	}
}

// TestIdentity: the CID is never one of those that mean something else.
func TestIdentity(t *testing.T) {
	for _, c := range []struct {
		random string
		cid    uint32
	}{
		{strings.Repeat("\xff", 32), fixedCID},
		{strings.Repeat("\xff", 15) + "\xfe" + strings.Repeat("1", 16), fixedCID},
		{strings.Repeat("\x00", 32), fixedCID},
		{strings.Repeat("\x12", 32), 0x12121212},
	} {
		id, err := newIdentity(strings.NewReader(c.random))
		if err != nil || id.cid() != c.cid || !strings.HasPrefix(id.uuid(), "60 00 c2 9") {
			t.Errorf("%x: CID %08x, uuid %s, %v", c.random, id.cid(), id.uuid(), err)
		}
	}
	if _, err := newIdentity(strings.NewReader("short")); err == nil {
		t.Error("too little randomness was accepted")
	}
}

// TestDescriptor: what the options say is what the descriptor says.
func TestDescriptor(t *testing.T) {
	for _, c := range []struct {
		words string
		size  int64
		want  []string
	}{
		{"adapter_type=ide hwversion=13", 100 << 30, []string{`adapterType = "ide"`, `cylinders = "16383"`, `heads = "16"`, `virtualHWVersion = "13"`, `CID=31313131`, `ddb.uuid = "60 00 c2 91 31`}},
		{"", 40 << 20, []string{`adapterType = "lsilogic"`, `cylinders = "6"`, `heads = "255"`, `RW 81920 SPARSE "disk.vmdk"`}},
		{"subformat=vmfs", 16 << 40, []string{`cylinders = "65535"`, `RW 34359738368 VMFS "disk-flat.vmdk"` + "\n"}},
		{"subformat=twoGbMaxExtentFlat", 3 << 30, []string{"RW 4192256 FLAT \"disk-f001.vmdk\" 0\nRW 2099200 FLAT \"disk-f002.vmdk\" 0\n"}},
	} {
		o := createWith(c.words)
		o.Rand = strings.NewReader(strings.Repeat("1", 32))
		sink := imagefmttest.NewSink("disk.vmdk")
		w, err := Format{}.Create(t.Context(), sink, c.size, o)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Finish(t.Context()); err != nil {
			t.Fatal(err)
		}
		text := make([]byte, 4096)
		n, _ := sink.File().ReadAt(text, 0)
		for _, want := range c.want {
			if !bytes.Contains(text[:n], []byte(want)) {
				t.Errorf("%s: no %s in %s", c.words, want, text[:n])
			}
		}
	}
}

// TestPreallocation: reserved room is taken on the host, and still a disk.
func TestPreallocation(t *testing.T) {
	for _, mode := range []string{"off", "falloc", "full"} {
		c := create(t, t.TempDir(), "disk.vmdk", 8<<20, createWith("subformat=monolithicFlat preallocation="+mode))
		c.judgeQEMU()
		flat := strings.TrimSuffix(c.path, ".vmdk") + "-flat.vmdk"
		if n := allocated(t, flat); n >= 8<<20 != (mode != "off") {
			t.Errorf("%s: %d bytes are allocated", mode, n)
		}
		if _, err := os.Stat(flat); err != nil {
			t.Error(err)
		}
	}
}
