package fsedit_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/vmconv/vmconv/pkg/fsedit"
	"github.com/vmconv/vmconv/pkg/fsedit/guest"
	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

// lvmDisks are two disks with a volume group v-g: root on the first, var on both.
// The tools of lvm2 say where the volumes lie; nothing of ours does.
func lvmDisks(t *testing.T, root, data []byte) [][]byte {
	t.Helper()
	dir := t.TempDir()
	var files, loops []string
	for i := range 2 {
		files = append(files, filepath.Join(dir, strconv.Itoa(i)))
		if err := os.WriteFile(files[i], make([]byte, 48*mib), 0o600); err != nil {
			t.Fatal(err)
		}
		loop := strings.TrimSpace(testtool.Run(t, "losetup", "--find", "--show", files[i]))
		defer testtool.Run(t, "losetup", "--detach", loop)
		loops = append(loops, loop)
	}
	filter := fmt.Sprintf(`["a|^%s$|","a|^%s$|","r|.*|"]`, loops[0], loops[1])
	lvm := func(command string, args ...string) string {
		conf := fmt.Sprintf(`devices { filter=%s global_filter=%s use_devicesfile=0 } global { locking_dir=%q } backup { backup=0 archive=0 }`, filter, filter, dir)
		return testtool.Run(t, "lvm", append([]string{command, "--driverloaded", "n", "--config", conf}, args...)...)
	}
	lvm("vgcreate", "-s", "1m", "v-g", loops[0], loops[1])
	lvm("lvcreate", "-y", "-an", "-Zn", "-Wn", "-n", "root", "-l", strconv.Itoa(len(root)/mib), "v-g", loops[0])
	lvm("lvcreate", "-y", "-an", "-Zn", "-Wn", "-n", "var", "-l", "4", "v-g", loops[0])
	lvm("lvextend", "-l", strconv.Itoa(len(data)/mib), "v-g/var", loops[1])
	content := map[string][]byte{"root": root, "var": data}
	for _, line := range strings.Split(lvm("lvs", "--noheadings", "--segments", "-o", "lv_name,seg_pe_ranges,seg_start_pe,seg_size_pe", "v-g"), "\n") {
		f := strings.Fields(line)
		if len(f) != 4 || content[f[0]] == nil {
			continue
		}
		device, extents, _ := strings.Cut(f[1], ":")
		first, _ := strconv.Atoi(extents[:strings.Index(extents, "-")])
		start, _ := strconv.Atoi(f[2])
		size, _ := strconv.Atoi(f[3])
		for i := range loops {
			if loops[i] == device {
				put(t, files[i], int64(first+1)*mib, content[f[0]][start*mib:(start+size)*mib]) // pe_start is 1 MiB
			}
		}
	}
	var out [][]byte
	for _, file := range files {
		out = append(out, readAll(t, file))
	}
	return out
}

func put(t *testing.T, file string, at int64, p []byte) {
	t.Helper()
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(p, at); err != nil {
		t.Fatal(err)
	}
}

// TestVolumeGroup: a guest on logical volumes of two disks, by the names that its
// fstab has for them; and what is free on the disks may be overwritten.
func TestVolumeGroup(t *testing.T) {
	root := ext(t, 16, rootFiles("/dev/mapper/v--g-root / ext4\n/dev/v-g/var /var ext4\n"))
	disks := lvmDisks(t, root, ext(t, 12, map[string]string{"x": "data"}))
	m := mustOpen(t, fsedit.Options{Level: guest.Mounts}, disks...)
	if m.Facts.Root != "v-g/root" || cat(t, m, "/var/x") != "data" || len(m.Facts.Warnings) > 0 {
		t.Fatalf("%+v", m.Facts)
	}
	for i, d := range disks {
		free, kept, err := m.FreeExtents(context.Background(), i)
		if err != nil || len(kept) > 0 || sum(free) < 27*mib {
			t.Errorf("disk %d: %d bytes free, %v, %q", i, sum(free), err, kept)
		}
		for _, r := range free {
			for at := r.Off; at < r.Off+r.Len; at++ {
				d[at] = 0xaa
			}
		}
	}
	m = mustOpen(t, fsedit.Options{Level: guest.Mounts}, disks...)
	if cat(t, m, "/var/x") != "data" {
		t.Error("a file is gone with what was free")
	}
	for _, id := range []string{"v-g/root", "v-g/var"} {
		v, _ := m.Volume(id)
		p := make([]byte, v.Len)
		if _, err := v.Device.ReadAt(p, 0); err != nil {
			t.Fatal(err)
		}
		testtool.Run(t, "e2fsck", "-fn", writeFile(t, p))
	}
	m = mustOpen(t, fsedit.Options{Level: guest.Mounts}, disks[0])
	if all := strings.Join(m.Facts.Warnings, "\n"); !strings.Contains(all, "v-g/var is left out") || m.Facts.Root != "v-g/root" {
		t.Errorf("without the second disk: %+v", m.Facts)
	}
}
