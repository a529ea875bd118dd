package machine_test

import (
	"archive/tar"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cespare/xxhash/v2"

	"github.com/vmconv/vmconv/pkg/convert/machine"
	"github.com/vmconv/vmconv/pkg/imagefmt/imagefmttest"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
	"github.com/vmconv/vmconv/pkg/imagefmt/osfile"
	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

// object is one object of ova.xml; fields are "name=value".
func object(class, id string, fields ...string) string {
	var b strings.Builder
	for _, f := range fields {
		name, value, _ := strings.Cut(f, "=")
		fmt.Fprintf(&b, "<member><name>%s</name><value>%s</value></member>", name, value)
	}
	return fmt.Sprintf("<value><struct><member><name>class</name><value>%s</value></member><member><name>id</name><value>%s</value></member>"+
		"<member><name>snapshot</name><value><struct>%s</struct></value></member></struct></value>", class, id, b.String())
}

// export is ova.xml of a machine with two disks, and of a snapshot of it.
func export(size int) []byte {
	vm := func(id, snapshot string) string {
		return object("VM", id, "name_label=web", "memory_static_max=1073741824", "VCPUs_max=4", "HVM_boot_policy=BIOS order",
			"is_a_snapshot=<boolean>"+snapshot+"</boolean>", "platform=<struct><member><name>cores-per-socket</name><value>2</value></member></struct>")
	}
	vbd := func(id, vm, vdi, device string) string {
		return object("VBD", id, "VM="+vm, "VDI="+vdi, "userdevice="+device, "type=Disk", "mode=RW", "bootable=<boolean>1</boolean>", "empty=<boolean>0</boolean>")
	}
	objects := []string{
		vm("Ref:1", "0"), vm("Ref:2", "1"),
		vbd("Ref:3", "Ref:1", "Ref:10", "0"), vbd("Ref:4", "Ref:1", "Ref:11", "1"), vbd("Ref:5", "Ref:2", "Ref:12", "0"),
		object("VIF", "Ref:6", "VM=Ref:1", "device=0", "MAC=00:16:3e:00:00:01", "network=Ref:7"),
		object("network", "Ref:7", "name_label=LAN", "bridge=xenbr0"),
	}
	for _, id := range []string{"Ref:10", "Ref:11", "Ref:12"} {
		objects = append(objects, object("VDI", id, "name_label="+id, fmt.Sprintf("virtual_size=%d", size)))
	}
	return []byte("<value><struct><member><name>version</name><value><struct><member><name>export_vsn</name><value>2</value></member></struct></value></member>" +
		"<member><name>objects</name><value><array><data>" + strings.Join(objects, "") + "</data></array></value></member></struct></value>")
}

// chunks are the members of a disk of up to 2 MiB.
func chunks(ref string, content []byte) []file {
	var files []file
	for i := 0; i<<20 < len(content); i++ {
		data := content[i<<20 : min(len(content), (i+1)<<20)]
		name := fmt.Sprintf("%s/%08d", ref, i)
		files = append(files, file{name, data}, file{name + ".xxhash", fmt.Appendf(nil, "%016X", xxhash.Sum64(data))})
	}
	return files
}

// TestXVA: the machine's disks are opened, and not those of its snapshot.
func TestXVA(t *testing.T) {
	first, second := diskContent(1), diskContent(2)
	files := append([]file{{"ova.xml", export(diskBytes)}}, chunks("Ref:10", first)...)
	files = append(append(files, chunks("Ref:11", second)...), chunks("Ref:12", diskContent(3))...)
	content := archive(t, tar.FormatUSTAR, files...)
	m := mustOpen(t, "x.xva", content)
	wantDisks(t, m, first, second)
	vm := m.VM
	if m.Kind != machine.XVA || vm.Name != "web" || vm.CPUs.Count != 4 || vm.CPUs.Sockets != 2 || vm.Memory != 1<<30 || vm.Firmware != "bios" {
		t.Errorf("%q %+v", m.Kind, vm)
	}
	if len(vm.NICs) != 1 || vm.NICs[0].MAC != "00:16:3e:00:00:01" || vm.NICs[0].Network != "LAN" {
		t.Errorf("%+v", vm.NICs)
	}
	src := imagefmttest.NewSource("x.xva", content)
	s, err := machine.Describe(t.Context(), src, options())
	if err != nil || len(s.Disks) != 2 || s.Disks[1].Info.VirtualSize != diskBytes {
		t.Errorf("%+v, %v", s, err)
	}
	if src.Closed() > 0 {
		t.Error("Describe closed what is the caller's")
	}
	m.Close()
	if _, err := open(t, "x.xva", content[:len(content)/2]); !errors.Is(err, ondisk.ErrCorrupt) {
		t.Errorf("half of it: %v", err)
	}
}

// TestPackedByXvaImg opens what xva-img packed out of loose chunks.
func TestPackedByXvaImg(t *testing.T) {
	dir, first, second := t.TempDir(), diskContent(1), diskContent(2)
	files := append(append([]file{{"ova.xml", export(diskBytes)}}, chunks("Ref:10", first)...), chunks("Ref:11", second)...)
	for _, ref := range []string{"Ref:10", "Ref:11"} {
		if err := os.Mkdir(filepath.Join(dir, ref), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range files {
		write(t, filepath.Join(dir, f.name), f.data)
	}
	out := filepath.Join(dir, "x.xva")
	testtool.Run(t, "xva-img", "package", out, filepath.Join(dir, "ova.xml"), filepath.Join(dir, "Ref:10"), filepath.Join(dir, "Ref:11"))
	m, err := openHost(t, out, osfile.SameDir)
	if err != nil {
		t.Fatal(err)
	}
	wantDisks(t, m, first, second)
}
