package machine_test

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vmconv/vmconv/pkg/convert/machine"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
	"github.com/vmconv/vmconv/pkg/imagefmt/osfile"
	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

// TestVMX: a VMX file names the top of a chain of snapshots, which the guest sees
// as one disk.
func TestVMX(t *testing.T) {
	dir := t.TempDir()
	raw, base, top := filepath.Join(dir, "raw"), filepath.Join(dir, "web.vmdk"), filepath.Join(dir, "web-000001.vmdk")
	content := make([]byte, 1<<20)
	copy(content, diskContent(1))
	write(t, raw, content)
	testtool.Run(t, "qemu-img", "convert", "-f", "raw", "-O", "vmdk", raw, base)
	testtool.Run(t, "qemu-img", "create", "-q", "-f", "vmdk", "-b", "web.vmdk", "-F", "vmdk", top)
	testtool.Run(t, "qemu-io", "-f", "vmdk", "-c", "write -P 0x5a 64k 4k", top)
	copy(content[64<<10:], bytes.Repeat([]byte{0x5a}, 4<<10))
	write(t, filepath.Join(dir, "web.vmx"), fmt.Appendf(nil, vmxText, "web-000001.vmdk"))
	m, err := openHost(t, filepath.Join(dir, "web.vmx"), osfile.SameDir)
	if err != nil {
		t.Fatal(err)
	}
	if m.Kind != machine.VMX {
		t.Errorf("kind %q", m.Kind)
	}
	wantDisks(t, m, content)
}

// TestExternal: the descriptions of hosts name their disks by absolute paths,
// which somebody has to permit.
func TestExternal(t *testing.T) {
	disks, dir, content := t.TempDir(), t.TempDir(), diskContent(1)
	disk := filepath.Join(disks, "web.img")
	write(t, disk, content)
	for name, text := range map[string]string{
		"web.xml": fmt.Sprintf(xmlText, "<driver type='raw'/>", disk),
		"web.cfg": fmt.Sprintf(xlText, disk),
		"web.vmx": fmt.Sprintf(vmxText, disk),
	} {
		path := filepath.Join(dir, name)
		write(t, path, []byte(text))
		_, err := openHost(t, path, osfile.SameDir)
		if !errors.Is(err, ondisk.ErrBlocked) || !strings.Contains(err.Error(), osfile.PermitFlag) {
			t.Errorf("%s: %v", name, err)
		}
		if name == "web.vmx" {
			continue // whose disk would have to be a VMDK
		}
		m, err := openHost(t, path, osfile.Anywhere)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		wantDisks(t, m, content)
	}
}

// TestRawIsBelieved: the guest of a raw disk writes what would be looked at. Its
// disk stays raw, and nothing that it names is opened.
func TestRawIsBelieved(t *testing.T) {
	dir := t.TempDir()
	secret, forged := filepath.Join(dir, "secret.img"), filepath.Join(dir, "web.img")
	write(t, secret, []byte("secret"))
	testtool.Run(t, "qemu-img", "create", "-q", "-f", "qcow2", "-b", "secret.img", "-F", "raw", forged, "1M")
	content := read(t, forged)
	for name, text := range map[string]string{
		"says.xml":   fmt.Sprintf(xmlText, "<driver name='qemu' type='raw'/>", "web.img"),
		"silent.xml": fmt.Sprintf(xmlText, "", "web.img"),
		"web.cfg":    fmt.Sprintf(xlText, "web.img"),
	} {
		path := filepath.Join(dir, name)
		write(t, path, []byte(text))
		m, err := openHost(t, path, osfile.SameDir)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		wantDisks(t, m, content)
	}
	path := filepath.Join(dir, "qcow2.xml")
	write(t, path, fmt.Appendf(nil, xmlText, "<driver type='qcow2'/>", "web.img"))
	m, err := openHost(t, path, osfile.SameDir)
	if err != nil {
		t.Fatal(err)
	}
	if size := m.Disks[0].Image.Size(); size != 1<<20 {
		t.Errorf("as qcow2 it has %d bytes", size)
	}
}

// TestDescribe looks at disks without opening what they refer to, and at what is
// not there.
func TestDescribe(t *testing.T) {
	dir := t.TempDir()
	testtool.Run(t, "qemu-img", "create", "-q", "-f", "qcow2", "-u", "-b", "missing.img", "-F", "raw", filepath.Join(dir, "a.qcow2"), "1M")
	path := filepath.Join(dir, "web.cfg")
	write(t, path, []byte("name = 'web'\nmemory = 512\ndisk = [ 'a.qcow2,qcow2,xvda,w', 'b.img,raw,xvdb,w', '/etc/passwd,raw,xvdc,w' ]\n"))
	src, err := osfile.Open(path, osfile.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	s, err := machine.Describe(t.Context(), src, options())
	if err != nil {
		t.Fatal(err)
	}
	if s.Kind != machine.XL || s.VM.Memory != 512<<20 || len(s.Disks) != 3 {
		t.Fatalf("%+v", s)
	}
	if d := s.Disks[0]; d.Err != nil || d.Info.Format != "qcow2" || d.Info.VirtualSize != 1<<20 || d.Info.Backing.Name != "missing.img" {
		t.Errorf("%+v", d)
	}
	if s.Disks[1].Err == nil || !errors.Is(s.Disks[2].Err, ondisk.ErrBlocked) {
		t.Errorf("%v, %v", s.Disks[1].Err, s.Disks[2].Err)
	}
}

// TestForeignKinds are known by name.
func TestForeignKinds(t *testing.T) {
	for name, text := range map[string]string{
		"hyperv": "<configuration><properties/></configuration>",
		"vbox":   `<VirtualBox xmlns="http://www.virtualbox.org/"><Machine/></VirtualBox>`,
	} {
		if _, err := open(t, name, []byte(text)); !errors.Is(err, ondisk.ErrUnsupported) || !strings.Contains(err.Error(), "by themselves") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
