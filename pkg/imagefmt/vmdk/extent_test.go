//go:build linux

package vmdk

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/imagefmttest"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

func extentText(sectors uint64, kind, name string) string {
	offset := ""
	if kind == extentFlat {
		offset = " 0"
	}
	return fmt.Sprintf("RW %d %s %q%s", sectors, kind, name, offset)
}

// TestExtents puts every kind of extent at its place.
func TestExtents(t *testing.T) {
	a, b := guestDisk(1<<20, 21), guestDisk(1<<20, 22)
	f := imagefmttest.NewFolder()
	f.Put("a.bin", append(make([]byte, 3*sectorSize), a...))
	f.Put("b.bin", b)
	f.Put("c.vmdk", cowd(a, 1))
	src := f.Put("disk.vmdk", text(typeCustom,
		`RW 2048 FLAT "a.bin" 3`,
		`RW 1024 ZERO`,
		`RDONLY 2048 VMFS "b.bin"`,
		`NOACCESS 512 FLAT "missing.bin" 0`,
		`RW 0 FLAT "b.bin" 0`,
		`RW 2048 VMFSSPARSE "c.vmdk"`,
		`rw 1 flat "b.bin" 2047`))
	img, err := openMemory(src)
	if err != nil {
		t.Fatal(err)
	}
	want := bytes.Join([][]byte{a, make([]byte, 1024*sectorSize), b, make([]byte, 512*sectorSize), a, b[len(b)-sectorSize:]}, nil)
	imagefmttest.Device(t, img, want)
	info := img.Info()
	if len(info.Notices) != 1 || info.Notices[0].ID != "vmdk-noaccess" {
		t.Errorf("%+v", info.Notices)
	}
	if err := img.Close(); err != nil || f.Get("a.bin").Closed() != 1 || f.Get("b.bin").Closed() != 1 || src.Closed() != 1 {
		t.Error("files are not closed once each")
	}
	if d, err := (Format{}).Describe(t.Context(), src, imagefmt.OpenOptions{}); err != nil || d.VirtualSize != img.Size() {
		t.Errorf("%+v, %v", d, err)
	}
}

// TestDescriptorForms: many programs write descriptors.
func TestDescriptorForms(t *testing.T) {
	plain := string(text("2GbMaxExtentFlat", `RW 16 FLAT "a.bin" 0`))
	for name, content := range map[string]string{
		"plain":       plain,
		"CRLF":        strings.ReplaceAll(plain, "\n", "\r\n"),
		"CR":          strings.ReplaceAll(plain, "\n", "\r"),
		"comments":    "\n\n# made by hand\n  \n" + plain,
		"upper case":  strings.ToUpper(strings.ReplaceAll(plain, "a.bin", "A.BIN")),
		"spaces":      strings.ReplaceAll(strings.ReplaceAll(plain, "=", " = "), "RW 16 FLAT", "  RW\t16   FLAT "),
		"byte order":  "\xef\xbb\xbf" + plain,
		"zero bytes":  plain + "\x00\x00rubbish",
		"no quotes":   strings.ReplaceAll(plain, `"2GbMaxExtentFlat"`, "2GbMaxExtentFlat"),
		"device part": strings.ReplaceAll(plain, `"a.bin" 0`, `"a.bin" 0 partitionUUID abc`),
		"windows":     strings.ReplaceAll(plain, "version=1", "version=1\nencoding=\"windows-1252\""),
	} {
		f := imagefmttest.NewFolder()
		f.Put("a.bin", make([]byte, 8192))
		f.Put("A.BIN", make([]byte, 8192))
		src := f.Put("disk.vmdk", []byte(content))
		if m, err := (Format{}).Probe(src); m != ondisk.Sure || err != nil {
			t.Errorf("%s: probe: %v, %v", name, m, err)
		}
		img, err := openMemory(src)
		if err != nil || img.Size() != 8192 {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, content := range []string{"", "#", "hello # disk descriptorfile", strings.Repeat("#\n", 4000) + plain, "KDMV", "COWD1"} {
		if m, err := (Format{}).Probe(imagefmttest.NewSource("x", []byte(content))); m != ondisk.None || err != nil {
			t.Errorf("%.20q: probe: %v, %v", content, m, err)
		}
	}
}

// TestRefuseDescriptor refuses what is wrong, and what leads elsewhere.
func TestRefuseDescriptor(t *testing.T) {
	many := strings.Repeat("RW 1 FLAT \"a.bin\" 0\n", maxExtents+1)
	f := imagefmttest.NewFolder()
	f.Put("a.bin", make([]byte, 8192))
	f.Put("sparse.vmdk", make([]byte, 8192))
	for _, tt := range []struct {
		name, create, lines string
		want                error
	}{
		{"host path", typeMonolithicFlat, `RW 1 FLAT "/etc/passwd" 0`, ondisk.ErrBlocked},
		{"path up", typeMonolithicFlat, `RW 1 FLAT "../a.bin" 0`, ondisk.ErrBlocked},
		{"protocol", typeMonolithicFlat, `RW 1 FLAT "nbd:localhost" 0`, ondisk.ErrBlocked},
		{"drive", typeMonolithicFlat, `RW 1 FLAT "C:\a.bin" 0`, ondisk.ErrBlocked},
		{"device", "fullDevice", `RW 1 FLAT "\\.\PhysicalDrive0" 0`, ondisk.ErrUnsupported},
		{"partitions", "partitionedDevice", `RW 1 FLAT "a.bin" 0`, ondisk.ErrUnsupported},
		{"mapping", "vmfsRawDeviceMap", `RW 1 VMFSRDM "a.bin"`, ondisk.ErrUnsupported},
		{"mapping in custom", typeCustom, `RW 1 VMFSRDM "a.bin"`, ondisk.ErrUnsupported},
		{"raw in custom", typeCustom, `RW 1 VMFSRAW "a.bin"`, ondisk.ErrUnsupported},
		{"unknown kind", typeCustom, `RW 1 FLOPPY "a.bin"`, ondisk.ErrUnsupported},
		{"unknown type", "holographic", `RW 1 FLAT "a.bin" 0`, ondisk.ErrUnsupported},
		{"no extents", typeMonolithicFlat, ``, ondisk.ErrCorrupt},
		{"no name", typeMonolithicFlat, `RW 1 FLAT`, ondisk.ErrCorrupt},
		{"name without end", typeMonolithicFlat, `RW 1 FLAT "a.bin`, ondisk.ErrCorrupt},
		{"no sectors", typeMonolithicFlat, `RW x FLAT "a.bin" 0`, ondisk.ErrCorrupt},
		{"negative", typeMonolithicFlat, `RW -1 FLAT "a.bin" 0`, ondisk.ErrCorrupt},
		{"negative offset", typeMonolithicFlat, `RW 1 FLAT "a.bin" -1`, ondisk.ErrCorrupt},
		{"offset overflows", typeMonolithicFlat, `RW 1 FLAT "a.bin" 9223372036854775807`, ondisk.ErrCorrupt},
		{"size overflows", typeMonolithicFlat, `RW 36028797018963968 FLAT "a.bin" 0`, ondisk.ErrCorrupt},
		{"huge", typeCustom, `RW 18014398509481983 ZERO`, ondisk.ErrTooBig},
		{"sum overflows", typeCustom, strings.Repeat("RW 18014398509481983 ZERO\n", 3), ondisk.ErrTooBig},
		{"beyond the file", typeMonolithicFlat, `RW 17 FLAT "a.bin" 0`, ondisk.ErrCorrupt},
		{"offset beyond", typeMonolithicFlat, `RW 1 FLAT "a.bin" 16`, ondisk.ErrCorrupt},
		{"no sparse extent", typeSplitSparse, `RW 1 SPARSE "sparse.vmdk"`, ondisk.ErrCorrupt},
		{"itself", typeSplitSparse, `RW 1 SPARSE "disk.vmdk"`, ondisk.ErrCorrupt},
		{"too many", typeMonolithicFlat, many, ondisk.ErrTooBig},
		{"too long", typeMonolithicFlat, strings.Repeat("# text\n", maxDescriptor/7+1), ondisk.ErrTooBig},
	} {
		_, err := openMemory(f.Put("disk.vmdk", text(tt.create, tt.lines)))
		if !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
	for _, tt := range []struct {
		old, new string
		want     error
	}{
		{"CID=12345678\n", "", ondisk.ErrCorrupt},
		{"CID=12345678", "CID=hello", ondisk.ErrCorrupt},
		{"version=1", "version=9", ondisk.ErrUnsupported},
		{"createType", "makeType", ondisk.ErrCorrupt},
		{"parentCID=ffffffff", "parentCID=1", ondisk.ErrCorrupt},
		{"CID=12345678\nparentCID=ffffffff", "encryption.keySafe = \"vmware:key/list/x\"", ondisk.ErrEncrypted},
		{"#DDB", "ddb.iofilters = \"vmwarevmcrypt\"", ondisk.ErrEncrypted},
	} {
		content := strings.Replace(string(text(typeMonolithicFlat, `RW 1 FLAT "a.bin" 0`)), tt.old, tt.new, 1)
		if _, err := openMemory(f.Put("disk.vmdk", []byte(content))); !errors.Is(err, tt.want) {
			t.Errorf("%q for %q: %v", tt.new, tt.old, err)
		}
	}
}
