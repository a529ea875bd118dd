//go:build linux

package main

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

// TestInPlace changes a guest in each kind of image, by edit, cp and convert. QEMU
// and debugfs must see the same guest as vmconv does.
func TestInPlace(t *testing.T) {
	testtool.Need(t, "qemu-img", "e2fsck", "debugfs")
	raw := newDisk(t, "48M", "ext4", system(map[string][]byte{"etc/hosts": []byte("one\n"), "srv/old": noise(3 << 20)}))
	big := filepath.Join(t.TempDir(), "big")
	content := noise(10 << 20)
	if err := os.WriteFile(big, content, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			img := k.of(t, raw)
			before := leftIn(t, filepath.Dir(img))
			command(t, "edit", img, "/etc/hosts", "-e", "s/one/two/", "-b", ".orig")
			command(t, "cp", big, img+":/srv/new")
			command(t, "cp", big, img+":/srv/old")
			command(t, "convert", "--in-place", img, "--to", "kvm", "--accept", "firmware,kernel") // it has neither
			plain := k.judge(t, img)
			for path, want := range map[string][]byte{
				"/etc/hosts": []byte("two\n"), "/etc/hosts.orig": []byte("one\n"), "/srv/new": content, "/srv/old": content,
			} {
				if !bytes.Equal(onDisk(t, plain, path), want) {
					t.Errorf("debugfs sees something else in %s", path)
				}
			}
			if fstab := onDisk(t, plain, "/etc/fstab"); !bytes.HasPrefix(fstab, []byte("UUID=")) {
				t.Errorf("the conversion left %s", fstab)
			}
			command(t, "compare", img, plain)
			command(t, "check", img)
			if after := leftIn(t, filepath.Dir(img)); after != before {
				t.Errorf("the folder holds %s, and held %s", after, before)
			}
		})
	}
}

// TestInPlaceInUse has images open in another program that may write to them.
func TestInPlaceInUse(t *testing.T) {
	testtool.Need(t, "qemu-img", "qemu-io")
	raw := newDisk(t, "16M", "ext4", system(map[string][]byte{"etc/hosts": []byte("one\n")}))
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			img := k.of(t, raw)
			before := readFolder(t, img)
			edit := []string{"edit", img, "/etc/hosts", "-e", "s/one/two/"}
			stop := holdInQEMUIO(t, img, k.driver)
			opened := readFolder(t, img) // QEMU itself may have marked the image
			wants(t, 9, edit, "in use", "hint: ")
			wants(t, 9, []string{"convert", "--in-place", img, "--to", "kvm"}, "in use")
			if diff := readFolder(t, img).differences(opened); diff != nil {
				t.Errorf("%v changed", diff)
			}
			stop()
			before.write(t, img)
			wants(t, 0, edit)
		})
	}
}

// holdInQEMUIO starts a qemu-io that has an image open for writing.
func holdInQEMUIO(t *testing.T, img, driver string) (stop func()) {
	t.Helper()
	cmd := exec.Command("qemu-io", "-f", driver, img)
	var talk bytes.Buffer
	cmd.Stderr = &talk
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop = func() {
		stdin.Close()
		cmd.Process.Kill()
		cmd.Wait()
	}
	t.Cleanup(stop)
	stdin.Write([]byte("length\n"))
	if answer, _ := bufio.NewReader(stdout).ReadString('\n'); !strings.Contains(answer, "MiB") {
		t.Fatalf("qemu-io did not open it: %s%s", answer, talk.String())
	}
	return stop
}
