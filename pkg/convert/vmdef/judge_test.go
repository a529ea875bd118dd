package vmdef

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

// streamDisk makes the files that a description names.
func streamDisk(t *testing.T, file string) []byte {
	testtool.Run(t, "qemu-img", "create", "-q", "-f", "vmdk", "-o", "subformat=streamOptimized", file, "1G")
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func save(t *testing.T, file string, data []byte) {
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// firmwareWord is virt-v2v's word for a firmware.
func firmwareWord(firmware string) string {
	return map[string]string{"efi": "uefi", "bios": "bios"}[firmware]
}

func expect(t *testing.T, printed string, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(printed, w) {
			t.Errorf("virt-v2v does not see %q:\n%s", w, printed)
		}
	}
}

// TestOVFJudge has virt-v2v read the envelopes and the manifest that we write.
// Blank disks are left out: it refuses them.
func TestOVFJudge(t *testing.T) {
	for name, vm := range written() {
		dir := t.TempDir()
		var digests []Digest
		var disks []Disk
		for _, d := range vm.Disks {
			if d.Blank() {
				continue
			}
			data := streamDisk(t, filepath.Join(dir, d.File))
			sum := sha256.Sum256(data)
			d.FileSize = int64(len(data))
			digests, disks = append(digests, Digest{d.File, "sha256", sum[:]}), append(disks, d)
		}
		vm.Disks = disks
		text, err := vm.OVF()
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(text)
		digests = append(digests, Digest{"vm.ovf", "sha256", sum[:]})
		save(t, filepath.Join(dir, "vm.ovf"), text)
		save(t, filepath.Join(dir, "vm.mf"), Manifest(digests))
		printed := testtool.Run(t, "virt-v2v", "-i", "ova", dir, "-o", "null", "--print-source")
		expect(t, printed, fmt.Sprintf("memory: %d", (vm.memory()+1<<20-1)>>20<<20), fmt.Sprintf("nr vCPUs: %d", max(vm.CPUs.Count, 1)),
			"firmware: "+firmwareWord(vm.Firmware), "source name: "+vm.Name)
		for i, d := range vm.Disks {
			bus := map[string]string{"": "sata", "nvme": "sata"}[d.Bus] // it takes every controller of type 20 for SATA
			if bus == "" {
				bus = d.Bus
			}
			expect(t, printed, fmt.Sprintf("\t%d [%s]", i, bus))
		}
		for _, nic := range vm.NICs {
			expect(t, printed, nic.MAC, "["+strings.ToLower(ovfNIC(nic.Model))+"]")
		}
		broken := strings.Replace(string(Manifest(digests)), "= ", "= 0", 1)
		save(t, filepath.Join(dir, "vm.mf"), []byte(broken))
		if out, err := testtool.Try(t, "virt-v2v", "-i", "ova", dir, "-o", "null", "--print-source"); err == nil {
			t.Errorf("%s: a wrong manifest is not noticed, so it was not read: %s", name, out)
		}
	}
}

// TestReadersJudge compares what we and virt-v2v read from one description.
func TestReadersJudge(t *testing.T) {
	for _, c := range []struct{ input, file string }{
		{"vmx", "vmx/esxi.vmx"}, {"ova", "ovf/virtualbox-6.ovf"},
	} {
		text, err := os.ReadFile(filepath.Join("testdata", filepath.FromSlash(c.file)))
		if err != nil {
			t.Fatal(err)
		}
		if c.input == "vmx" { // its disks must exist, and it opens them
			text = []byte(strings.NewReplacer("/vmfs/volumes/5c1e/mail 01/", "", "nvram = ", "#").Replace(string(text)))
		}
		vms, _, err := Parse(Detect(text), text, ondisk.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		dir, vm := t.TempDir(), vms[0]
		source := filepath.Join(dir, filepath.Base(c.file))
		save(t, source, text)
		for _, d := range vm.Disks {
			streamDisk(t, filepath.Join(dir, d.File))
		}
		if c.input == "ova" {
			source = dir
		}
		printed := testtool.Run(t, "virt-v2v", "-i", c.input, source, "-o", "null", "--print-source")
		if c.input == "vmx" { // of an OVF it takes the name from one place only
			expect(t, printed, "source name: "+vm.Name)
		}
		expect(t, printed, fmt.Sprintf("memory: %d", vm.Memory), fmt.Sprintf("nr vCPUs: %d", vm.CPUs.Count), vm.GenID)
		for i, d := range vm.Disks {
			expect(t, printed, fmt.Sprintf("\t%d [%s]", i, d.Bus))
		}
		for _, nic := range vm.NICs {
			expect(t, printed, "["+nic.Model+"]")
		}
	}
}
