package machine_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/vmconv/vmconv/pkg/convert/machine"
	"github.com/vmconv/vmconv/pkg/imagefmt/imagefmttest"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

const (
	vmxText = "config.version = \"8\"\nvirtualHW.version = \"13\"\nscsi0.present = \"TRUE\"\nscsi0:0.present = \"TRUE\"\nscsi0:0.fileName = \"%s\"\n"
	xlText  = "name = \"web\"\nmemory = 512\ndisk = [ 'format=raw, vdev=xvda, access=rw, target=%s' ]\n"
	xmlText = "<domain type='kvm'><name>web</name><memory>524288</memory><devices><disk type='file' device='disk'>%s<source file='%s'/><target dev='vda' bus='virtio'/></disk></devices></domain>"
)

func TestDetect(t *testing.T) {
	ovf := file{"web.ovf", descriptor("d.vmdk")}
	many := make([]file, 20)
	for i := range many {
		many[i] = file{string(rune('a'+i)) + ".vmdk", []byte("x")}
	}
	v7 := archive(t, tar.FormatUSTAR, file{"ova.xml", []byte("<value/>")})
	toV7(v7)
	for name, c := range map[string]struct {
		content []byte
		want    machine.Kind
	}{
		"empty":             {nil, machine.Image},
		"short":             {[]byte("x"), machine.Image},
		"zeros":             {make([]byte, 4096), machine.Image},
		"disk":              {diskContent(1), machine.Image},
		"ova":               {archive(t, tar.FormatUSTAR, ovf), machine.OVA},
		"ova of pax":        {archive(t, tar.FormatPAX, ovf), machine.OVA},
		"ova of GNU":        {archive(t, tar.FormatGNU, file{"./sub/WEB.OVF", ovf.data}), machine.OVA},
		"descriptor last":   {archive(t, tar.FormatUSTAR, append(many, ovf)...), machine.OVA},
		"xva":               {archive(t, tar.FormatUSTAR, file{"ova.xml", []byte("<value/>")}), machine.XVA},
		"xva of V7":         {v7, machine.XVA},
		"ovf":               {ovf.data, machine.OVF},
		"ovf in UTF-8":      {append([]byte("\xef\xbb\xbf"), ovf.data...), machine.OVF},
		"vmx":               {[]byte(vmxText), machine.VMX},
		"xl":                {[]byte(xlText), machine.XL},
		"libvirt":           {[]byte(xmlText), machine.Libvirt},
		"VMDK descriptor":   {[]byte("# Disk DescriptorFile\nversion=1\nencoding=\"UTF-8\"\nCID=fffffffe\nparentCID=ffffffff\ncreateType=\"monolithicFlat\"\nRW 8 FLAT \"x-flat.vmdk\" 0\n"), machine.Image},
		"text on a disk":    {append([]byte(xmlText), make([]byte, 1<<20)...), machine.Image},
		"long text on disk": {append([]byte(xmlText), bytes.Repeat([]byte(" "), 17<<20)...), machine.Image},
	} {
		got, err := machine.Detect(t.Context(), imagefmttest.NewSource("x", c.content), ondisk.Limits{})
		if err != nil || got != c.want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

// toV7 takes what POSIX added away from the first header.
func toV7(archive []byte) {
	clear(archive[257:512])
	copy(archive[148:156], "        ")
	sum := 0
	for _, c := range archive[:512] {
		sum += int(c)
	}
	copy(archive[148:156], []byte{'0' + byte(sum>>15&7), '0' + byte(sum>>12&7), '0' + byte(sum>>9&7), '0' + byte(sum>>6&7), '0' + byte(sum>>3&7), '0' + byte(sum&7), 0, ' '})
}

// TestDetectArchive: an archive without a machine is not a raw disk by accident.
func TestDetectArchive(t *testing.T) {
	content := archive(t, tar.FormatUSTAR, file{"disk.raw", diskContent(1)})
	if _, err := open(t, "x.tar", content); !errors.Is(err, ondisk.ErrUnsupported) {
		t.Errorf("an archive of a disk: %v", err)
	}
	o := options()
	o.Format = "raw"
	m, err := openSource(t, imagefmttest.NewSource("x.tar", content), o)
	if err != nil {
		t.Fatal(err)
	}
	wantDisks(t, m, content)
	if _, err := open(t, "x.ova", archive(t, tar.FormatUSTAR, file{"web.vmdk", diskContent(1)})[:9000]); !errors.Is(err, ondisk.ErrCorrupt) {
		t.Errorf("an archive that breaks off: %v", err)
	}
}

// TestDetectPackage: xva-img packs what is an archive of V7 for others.
func TestDetectPackage(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "ova.xml"), []byte("<value><struct/></value>"))
	if err := os.Mkdir(filepath.Join(dir, "Ref:1"), 0o700); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "x.xva")
	testtool.Run(t, "xva-img", "package", out, filepath.Join(dir, "ova.xml"), filepath.Join(dir, "Ref:1"))
	kind, err := machine.Detect(t.Context(), imagefmttest.NewSource("x", read(t, out)), ondisk.Limits{})
	if err != nil || kind != machine.XVA {
		t.Errorf("%q, %v", kind, err)
	}
}
