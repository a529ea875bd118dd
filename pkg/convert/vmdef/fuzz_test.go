package vmdef

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// seed adds the samples of one kind.
func seed(f *testing.F, kind Kind) {
	files, _ := filepath.Glob(filepath.Join("testdata", string(kind), "*"))
	for _, file := range files {
		if filepath.Ext(file) == ".json" {
			continue
		}
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
}

// check holds what any reader returns against its promises, and against the
// writers.
func check(t *testing.T, vm VM) {
	if vm.Memory < 0 || vm.CPUs.Count < 0 || vm.CPUs.Sockets < 0 || vm.CPUs.CoresPerSocket < 0 {
		t.Errorf("negative: %+v", vm)
	}
	for _, d := range vm.Disks {
		if d.Size < 0 || d.FileSize < 0 || d.Populated < 0 || d.Unit < 0 || d.Controller < 0 || d.Boot < 0 {
			t.Errorf("negative: %+v", d)
		}
		if d.File != "" && d.Remote != "" {
			t.Errorf("both a file and remote: %+v", d)
		}
	}
	if _, err := vm.Libvirt(); err != nil {
		t.Error(err)
	}
	if text, err := vm.OVF(); err == nil {
		if _, _, err := ParseOVF(text, ondisk.Limits{}); err != nil {
			t.Errorf("our own envelope: %v\n%s", err, text)
		}
	}
}

// limited are small, so that the fuzzer gets at them.
var limited = ondisk.Limits{Text: 1 << 16, Chain: 20}

func fuzz(f *testing.F, kind Kind) {
	seed(f, kind)
	f.Fuzz(func(t *testing.T, data []byte) {
		Detect(data)
		vms, _, err := Parse(kind, data, limited)
		if err != nil {
			return
		}
		for _, vm := range vms {
			check(t, vm)
		}
	})
}

func FuzzOVF(f *testing.F)     { fuzz(f, KindOVF) }
func FuzzVMX(f *testing.F)     { fuzz(f, KindVMX) }
func FuzzXL(f *testing.F)      { fuzz(f, KindXL) }
func FuzzLibvirt(f *testing.F) { fuzz(f, KindLibvirt) }

// FuzzManifest: what is accepted means the same when it is written again.
func FuzzManifest(f *testing.F) {
	f.Add([]byte("SHA1(a.ovf)= da39a3ee5e6b4b0d3255bfef95601890afd80709\r\nsha256 (b (2).vmdk) =e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		list, err := ParseManifest(data, limited)
		if err != nil {
			return
		}
		again, err := ParseManifest(Manifest(list), ondisk.Limits{})
		if err != nil || len(again) != len(list) {
			t.Fatalf("%v, %d of %d", err, len(again), len(list))
		}
		for i, d := range list {
			if a := again[i]; a.File != d.File || a.Algorithm != d.Algorithm || !bytes.Equal(a.Sum, d.Sum) {
				t.Errorf("%+v became %+v", d, a)
			}
		}
	})
}
