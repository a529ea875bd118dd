package fsedit_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vmconv/vmconv/pkg/fsedit"
	"github.com/vmconv/vmconv/pkg/fsedit/bootcheck"
	"github.com/vmconv/vmconv/pkg/fsedit/edit"
	"github.com/vmconv/vmconv/pkg/fsedit/guest"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

const uefiRoot = "11111111-2222-3333-4444-555555555555"

// esp is a FAT filesystem with a GRUB that finds its menu by the filesystem's UUID.
func esp(t *testing.T) []byte {
	t.Helper()
	dir := t.TempDir()
	image, grub, stub := filepath.Join(dir, "esp"), filepath.Join(dir, "grubx64.efi"), filepath.Join(dir, "grub.cfg")
	testtool.Run(t, "grub-mkimage", "-O", "x86_64-efi", "-p", "/EFI/debian", "-o", grub, "part_gpt", "ext2", "fat", "normal", "search_fs_uuid", "configfile")
	put := "search.fs_uuid " + uefiRoot + " root hd0,gpt7\nset prefix=($root)'/boot/grub'\nconfigfile $prefix/grub.cfg\n"
	if err := os.WriteFile(stub, []byte(put), 0o600); err != nil {
		t.Fatal(err)
	}
	testtool.Run(t, "mkfs.fat", "-C", image, "8192")
	testtool.Run(t, "mmd", "-i", image, "::EFI", "::EFI/debian")
	testtool.Run(t, "mcopy", "-i", image, grub, stub, "::EFI/debian/")
	return readAll(t, image)
}

// tabled lays parts out behind a table that sfdisk makes of a script.
func tabled(t *testing.T, script string, parts ...[]byte) []byte {
	t.Helper()
	size := 2 * mib
	for _, p := range parts {
		size += len(p)
	}
	img := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(img, make([]byte, size), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sfdisk", "-q", "--no-tell-kernel", img)
	cmd.Stdin = strings.NewReader(script)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	out, at := readAll(t, img), mib
	for _, p := range parts {
		at += copy(out[at:], p)
	}
	return out
}

// TestUEFI: a guest whose firmware knew its loader by a boot entry gets one that
// any firmware finds, whether fstab mounts the EFI system partition or not.
func TestUEFI(t *testing.T) {
	for name, c := range map[string]struct{ script, fstab, at string }{
		"gpt": {"label: gpt\nsize=8M, type=U\nsize=16M\n", "", "/efi-sda1"},
		"mbr": {"label: dos\nsize=8M, type=ef\nsize=16M\n", "/dev/sda1 /boot/efi vfat umask=0077 0 1\n", "/boot/efi"},
	} {
		t.Run(name, func(t *testing.T) {
			files := rootFiles("UUID=" + uefiRoot + " / ext4 defaults 0 1\n" + c.fstab)
			files["boot/grub/grub.cfg"] = "menuentry x {\n linux /boot/vmlinuz root=UUID=" + uefiRoot + "\n}\n"
			root := ext(t, 16, files)
			file := writeFile(t, root)
			testtool.Run(t, "tune2fs", "-U", uefiRoot, file)
			disk := blockdev.NewOverlay(blockdev.FromBytes(tabled(t, c.script, esp(t), readAll(t, file))), blockdev.OverlayOptions{})
			job := convertGuest(t, disk)
			grub := job.Facts.Firmware.ESPs[0].Programs[0]
			if grub.Path != c.at+"/EFI/debian/grubx64.efi" || len(grub.Chain) != 2 || grub.Chain[1] != "/boot/grub/grub.cfg" {
				t.Errorf("the chain is %+v", grub)
			}
			rows := checkGuest(t, disk)
			for _, id := range []string{"firmware", "loader"} {
				if row := rows[id]; !row.Pass || !strings.Contains(row.Evidence, c.at+"/EFI/BOOT/BOOTX64.EFI") {
					t.Errorf("%+v", row)
				}
			}
			judgeESP(t, disk)
		})
	}
}

// convertGuest plans and makes all edits.
func convertGuest(t *testing.T, disk blockdev.Device) edit.Job {
	t.Helper()
	m, err := fsedit.Open(context.Background(), []blockdev.Device{disk}, fsedit.Options{Level: guest.Full})
	if err != nil {
		t.Fatal(err)
	}
	m.Facts.OS.Arch = "x86_64" // there is no program to tell it by
	s := edit.NewStaged(m.Tree)
	job := edit.Job{Facts: m.Facts}
	if err := edit.Plan(context.Background(), s, job); err != nil {
		t.Fatal(err)
	}
	changes, err := s.Changes()
	if err != nil {
		t.Fatal(err)
	}
	if err := edit.Apply(context.Background(), m.Tree, changes, edit.ApplyOptions{Now: time.Unix(1e9, 0)}); err != nil {
		t.Fatal(err)
	}
	return job
}

func checkGuest(t *testing.T, disk blockdev.Device) map[string]bootcheck.Row {
	t.Helper()
	m, err := fsedit.Open(context.Background(), []blockdev.Device{disk}, fsedit.Options{Level: guest.Full})
	if err != nil {
		t.Fatal(err)
	}
	m.Facts.OS.Arch = "x86_64"
	rows, err := bootcheck.Check(context.Background(), m.Tree, edit.Job{Facts: m.Facts})
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]bootcheck.Row{}
	for _, r := range rows {
		out[r.ID] = r
	}
	return out
}

// judgeESP has the tools of FAT read the partition back.
func judgeESP(t *testing.T, disk blockdev.Device) {
	t.Helper()
	part := make([]byte, 8*mib)
	if _, err := disk.ReadAt(part, mib); err != nil {
		t.Fatal(err)
	}
	image := writeFile(t, part)
	testtool.Run(t, "fsck.fat", "-n", image)
	dir := t.TempDir()
	testtool.Run(t, "mcopy", "-i", image, "::EFI/debian/grubx64.efi", "::EFI/BOOT/BOOTX64.EFI", dir)
	if string(readAll(t, filepath.Join(dir, "BOOTX64.EFI"))) != string(readAll(t, filepath.Join(dir, "grubx64.efi"))) {
		t.Error("the copy differs")
	}
}
