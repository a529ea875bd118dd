package xva

import (
	"archive/tar"
	"bytes"
	"crypto/sha1"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/cespare/xxhash/v2"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/imagefmttest"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// xmlDoc is ova.xml of the given objects, laid out as hosts do not do it.
func xmlDoc(objects ...string) string {
	return "<?xml version=\"1.0\"?>\n<value>\n <struct>\n  <member>\n   <name>version</name>\n   <value><struct>" +
		"<member><name>export_vsn</name><value>2</value></member></struct></value>\n  </member>\n" +
		"  <member><name>objects</name><value><array><data>" + strings.Join(objects, "\n") +
		"</data></array></value></member>\n </struct>\n</value>"
}

// xmlObject is an object with fields like "name_label=web" of text; a value
// that begins with "<" is taken as it is.
func xmlObject(class, id string, fields ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "<value><struct><member><name>class</name><value>%s</value></member>"+
		"<member><name>id</name><value>%s</value></member><member><name>snapshot</name><value>\n<struct>\n", class, id)
	for _, f := range fields {
		name, v, _ := strings.Cut(f, "=")
		fmt.Fprintf(&b, "<member>\n <name>%s</name>\n <value>%s</value>\n</member>\n", name, v)
	}
	return b.String() + "</struct>\n</value></member></struct></value>"
}

func xmlVM(id string, fields ...string) string {
	return xmlObject("VM", id, append([]string{"name_label=web01", "memory_static_max=1073741824", "VCPUs_max=2",
		"HVM_boot_policy=BIOS order", "is_a_snapshot=<boolean>0</boolean>"}, fields...)...)
}

func xmlVBD(id, vm, vdi, device string) string {
	return xmlObject("VBD", id, "VM="+vm, "VDI="+vdi, "userdevice="+device, "type=Disk",
		"mode=RW", "bootable=<boolean>1</boolean>", "empty=<boolean>0</boolean>")
}

func xmlVDI(id string, size int64) string {
	return xmlObject("VDI", id, "name_label=disk "+id, fmt.Sprintf("virtual_size=%d", size))
}

// oneDisk is ova.xml of a machine with the disk Ref:4.
func oneDisk(size int64) string {
	return xmlDoc(xmlVM("Ref:0"), xmlVBD("Ref:3", "Ref:0", "Ref:4", "0"), xmlVDI("Ref:4", size))
}

// file is a member of an archive.
type file struct {
	name string
	data []byte
}

// chunkOf is the member of a chunk and that of its checksum.
func chunkOf(ref string, number int, kind sumKind, data []byte) []file {
	name := fmt.Sprintf("%s/%08d", ref, number)
	switch kind {
	case xxh64:
		return []file{{name, data}, {name + ".xxhash", fmt.Appendf(nil, "%016X", xxhash.Sum64(data))}}
	case sha1Sum:
		return []file{{name, data}, {name + ".checksum", fmt.Appendf(nil, "%x", sha1.Sum(data))}}
	}
	return []file{{name, data}}
}

// pack makes an archive of ova.xml and further members.
func pack(t testing.TB, doc string, members ...[]file) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	put := func(f file) {
		t.Helper()
		if err := w.WriteHeader(&tar.Header{Name: f.name, Size: int64(len(f.data)), Mode: 0o644}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(f.data); err != nil {
			t.Fatal(err)
		}
	}
	put(file{descriptionName, []byte(doc)})
	for _, files := range members {
		for _, f := range files {
			put(f)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func pattern(n int, seed uint64) []byte { return imagefmttest.Pattern(0, n, seed) }

// join is the parts one after the other; nil is a chunk of zeros.
func join(parts ...[]byte) []byte {
	var all []byte
	for _, p := range parts {
		if p == nil {
			p = make([]byte, chunkSize)
		}
		all = append(all, p...)
	}
	return all
}

func openBytes(t testing.TB, content []byte) (imagefmt.Image, error) {
	return Format{}.Open(t.Context(), imagefmttest.NewSource("x.xva", content), imagefmt.OpenOptions{})
}

func mustOpen(t testing.TB, content []byte) imagefmt.Image {
	t.Helper()
	img, err := openBytes(t, content)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { img.Close() })
	return img
}

func readAll(img imagefmt.Image) ([]byte, error) {
	p := make([]byte, img.Size())
	n, err := img.ReadAt(p, 0)
	if n == len(p) && err == io.EOF {
		err = nil
	}
	return p, err
}

var smallLimits = ondisk.Limits{VirtualSize: 1 << 40, Table: 1 << 16, Text: 1 << 20}
