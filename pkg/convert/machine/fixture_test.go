package machine_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vmconv/vmconv/pkg/convert/machine"
	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/formats"
	"github.com/vmconv/vmconv/pkg/imagefmt/imagefmttest"
	"github.com/vmconv/vmconv/pkg/imagefmt/osfile"
	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

// file is one file of a package.
type file struct {
	name string
	data []byte
}

const diskBytes = 1<<20 + 3*512

// diskContent is a disk that begins like no format, with a hole in it.
func diskContent(seed uint64) []byte {
	p := imagefmttest.Pattern(0, diskBytes, seed)
	clear(p[128<<10 : 700<<10])
	return p
}

// vmdkOf is a streamOptimized VMDK of that content, as QEMU makes it.
func vmdkOf(t testing.TB, content []byte) []byte {
	t.Helper()
	dir := t.TempDir()
	raw, vmdk := filepath.Join(dir, "raw"), filepath.Join(dir, "vmdk")
	write(t, raw, content)
	testtool.Run(t, "qemu-img", "convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=streamOptimized", raw, vmdk)
	return read(t, vmdk)
}

func write(t testing.TB, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// archive packs files in their order.
func archive(t testing.TB, format tar.Format, files ...file) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range files {
		if err := w.WriteHeader(&tar.Header{Name: f.name, Size: int64(len(f.data)), Mode: 0o644, Format: format}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(f.data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// descriptor is an OVF of a machine "web" whose disks are the given files; the
// attributes of a file may follow its name: `d.vmdk" ovf:compression="gzip`. An
// empty name is a blank disk of 1 MiB.
func descriptor(names ...string) []byte {
	return envelope(virtualSystem("web", 1, len(names)), names...)
}

func envelope(systems string, names ...string) []byte {
	var files, disks strings.Builder
	for i, name := range names {
		ref := ""
		if name != "" {
			fmt.Fprintf(&files, `<File ovf:id="file%d" ovf:href="%s"/>`, i+1, name)
			ref = fmt.Sprintf(` ovf:fileRef="file%d"`, i+1)
		}
		size := ""
		if name == "" {
			size = ` ovf:capacity="1" ovf:capacityAllocationUnits="byte * 2^20"`
		}
		fmt.Fprintf(&disks, `<Disk ovf:diskId="disk%d"%s%s/>`, i+1, ref, size)
	}
	return fmt.Appendf(nil, `<?xml version="1.0"?>
<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1" xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData">
<References>%s</References><DiskSection>%s</DiskSection>%s</Envelope>`, files.String(), disks.String(), systems)
}

// virtualSystem has n disks, from number first on.
func virtualSystem(name string, first, n int) string {
	var items strings.Builder
	for i := range n {
		fmt.Fprintf(&items, `<Item><rasd:AddressOnParent>%d</rasd:AddressOnParent><rasd:HostResource>ovf:/disk/disk%d</rasd:HostResource>`+
			`<rasd:InstanceID>%d</rasd:InstanceID><rasd:ResourceType>17</rasd:ResourceType></Item>`, i, first+i, i+10)
	}
	return fmt.Sprintf(`<VirtualSystem ovf:id="%s"><Name>%s</Name><VirtualHardwareSection>%s</VirtualHardwareSection></VirtualSystem>`, name, name, items.String())
}

var hashes = map[string]func() hash.Hash{"SHA1": sha1.New, "SHA256": sha256.New, "SHA512": sha512.New}

func manifest(algorithm string, files ...file) []byte {
	var b bytes.Buffer
	for _, f := range files {
		h := hashes[algorithm]()
		h.Write(f.data)
		fmt.Fprintf(&b, "%s(%s)= %x\n", algorithm, f.name, h.Sum(nil))
	}
	return b.Bytes()
}

func gzipped(t testing.TB, content []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Write(content)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

var registry = formats.Default()

// options unpack in memory.
func options() machine.Options {
	return machine.Options{Registry: registry, Unpack: func(_ context.Context, src imagefmt.Source) (imagefmt.Source, error) {
		defer src.Close()
		r, err := gzip.NewReader(blockdev.NewReader(src))
		if err != nil {
			return nil, err
		}
		content, err := io.ReadAll(io.LimitReader(r, 64<<20))
		return imagefmttest.NewSource("unpacked", content), err
	}}
}

func openSource(t testing.TB, src imagefmt.Source, o machine.Options) (*machine.Machine, error) {
	t.Helper()
	m, err := machine.Open(t.Context(), src, o)
	if err != nil {
		src.Close()
		return nil, err
	}
	t.Cleanup(func() { m.Close() })
	return m, nil
}

// open opens a file of the given content, alone in its folder.
func open(t testing.TB, name string, content []byte) (*machine.Machine, error) {
	t.Helper()
	return openSource(t, imagefmttest.NewSource(name, content), options())
}

func mustOpen(t testing.TB, name string, content []byte) *machine.Machine {
	t.Helper()
	m, err := open(t, name, content)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// openHost opens a file of the host.
func openHost(t testing.TB, path string, siblings osfile.Siblings) (*machine.Machine, error) {
	t.Helper()
	src, err := osfile.Open(path, osfile.Options{Siblings: siblings})
	if err != nil {
		t.Fatal(err)
	}
	return openSource(t, src, options())
}

// wantDisks compares what the guest sees; a writer may have padded the disk.
func wantDisks(t testing.TB, m *machine.Machine, want ...[]byte) {
	t.Helper()
	if len(m.Disks) != len(want) {
		t.Fatalf("%d disks, not %d", len(m.Disks), len(want))
	}
	for i, d := range m.Disks {
		got := make([]byte, d.Image.Size())
		if _, err := blockdev.NewReader(d.Image).Read(got); err != nil && err != io.EOF {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want[i]) {
			t.Errorf("disk %d of %d bytes (%s) has other bytes than the %d wanted", i+1, len(got), d.Image.Info().Format, len(want[i]))
		}
	}
}
