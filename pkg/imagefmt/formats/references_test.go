package formats

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
	"github.com/vmconv/vmconv/pkg/imagefmt/osfile"
	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

// tracedImages names the images that the traced process opens, one a line.
const tracedImages = "VMCONV_TEST_IMAGES"

// TestForeignReferences: an image that names a file of the host elsewhere is
// refused, and strace sees that nobody opened that file, not even to look.
func TestForeignReferences(t *testing.T) {
	if list := os.Getenv(tracedImages); list != "" {
		for _, path := range strings.Split(list, "\n") {
			lookAt(t, path)
		}
		return
	}
	testtool.Need(t, "qemu-img", "strace")
	paths := referringImages(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	log := filepath.Join(t.TempDir(), "strace.log")
	t.Setenv(tracedImages, strings.Join(paths, "\n"))
	testtool.Run(t, "strace", "-f", "-e", "trace=open,openat,openat2", "-o", log, self, "-test.run", "^TestForeignReferences$")
	trace, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(trace), filepath.Base(paths[0])) {
		t.Fatalf("strace did not see the images opened:\n%s", trace)
	}
	for _, line := range strings.Split(string(trace), "\n") {
		if strings.Contains(line, "secret") && !strings.Contains(line, " = -1 ") {
			t.Errorf("opened: %s", line)
		}
	}
}

// lookAt describes an image and tries to open it.
func lookAt(t *testing.T, path string) {
	src, err := osfile.Open(path, osfile.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	f, err := Default().Probe(src)
	if err != nil {
		t.Fatal(err)
	}
	// An image without a Describer is opened to be described, and refused.
	if _, err := imagefmt.Describe(t.Context(), f, src, imagefmt.OpenOptions{}); err != nil && !errors.Is(err, ondisk.ErrBlocked) {
		t.Errorf("%s: describing: %v", filepath.Base(path), err)
	}
	img, err := Default().Open(t.Context(), src, f.Name(), imagefmt.OpenOptions{})
	if err == nil {
		img.Close()
	}
	if !errors.Is(err, ondisk.ErrBlocked) {
		t.Errorf("%s: opening: %v", filepath.Base(path), err)
	}
}

// referringImages lie in one folder and name a file in another one.
func referringImages(t *testing.T) (paths []string) {
	t.Helper()
	dir, elsewhere := t.TempDir(), t.TempDir()
	secret := filepath.Join(elsewhere, "secret.raw")
	for _, name := range []string{secret, secret + ".data"} {
		if err := os.WriteFile(name, make([]byte, 1<<20), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	testtool.Run(t, "qemu-img", "convert", "-f", "raw", "-O", "vmdk", secret, secret+".vmdk")
	relative, err := filepath.Rel(dir, secret)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(secret, filepath.Join(dir, "link-to-secret.raw")); err != nil {
		t.Fatal(err)
	}
	add := func(name string, args ...string) {
		paths = append(paths, filepath.Join(dir, name))
		testtool.Run(t, "qemu-img", append(append([]string{"create", "-q"}, args...), filepath.Join(dir, name), "1M")...)
	}
	add("absolute.qcow2", "-u", "-f", "qcow2", "-F", "raw", "-b", secret)
	add("relative.qcow2", "-u", "-f", "qcow2", "-F", "raw", "-b", relative)
	add("link.qcow2", "-u", "-f", "qcow2", "-F", "raw", "-b", "link-to-secret.raw")
	add("data.qcow2", "-f", "qcow2", "-o", "data_file="+secret+".data,data_file_raw=on")
	add("delta.vmdk", "-f", "vmdk", "-F", "vmdk", "-b", secret+".vmdk")
	for name, extent := range map[string]string{"absolute.vmdk": secret, "relative.vmdk": relative, "link.vmdk": "link-to-secret.raw"} {
		text := fmt.Sprintf("# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=ffffffff\ncreateType=\"monolithicFlat\"\n\nRW 2048 FLAT \"%s\" 0\n", extent)
		paths = append(paths, filepath.Join(dir, name))
		if err := os.WriteFile(paths[len(paths)-1], []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return paths
}
