//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vmconv/vmconv/pkg/fsedit/fsedittest"
	"github.com/vmconv/vmconv/pkg/fsedit/volume"
	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

// part is a partition of a test's disk: how it is made, and where it lies.
type part struct {
	mkfs    string // a program with options; the partition's file is appended
	off, mb int64
}

// threeParts is a GPT disk with ext4 and XFS, filled by the kernel, and FAT.
func threeParts(t *testing.T) (image string, parts []part) {
	testtool.Need(t, "sfdisk", "mke2fs", "mkfs.xfs", "mkfs.vfat", "mcopy")
	parts = []part{
		{mkfs: "mke2fs -q -t ext4 -L root", off: 1 << 20, mb: 64},
		{mkfs: "mkfs.xfs -q -L srv", off: 65 << 20, mb: 320},
		{mkfs: "mkfs.vfat -F 32 -s 1 -n EFI", off: 385 << 20, mb: 64},
	}
	image = fsedittest.NewImage(t, 450<<20)
	script := "label: gpt\n"
	for _, p := range parts {
		script += fmt.Sprintf("start=%d, size=%d\n", p.off/512, p.mb<<11)
	}
	shell(t, "sfdisk -q --no-tell-kernel "+image, script)
	for i, p := range parts {
		file := fsedittest.NewImage(t, p.mb<<20)
		shell(t, p.mkfs+" "+file, "")
		shell(t, fmt.Sprintf("dd if=%s of=%s bs=1M seek=%d conv=notrunc,sparse status=none", file, image, p.off>>20), "")
		if i == 2 {
			shell(t, fmt.Sprintf("mcopy -i %s@@%d %s ::/program", image, p.off, os.Args[0]), "")
			continue
		}
		dir, unmount := fsedittest.Mount(t, image, p.place())
		fsedittest.Populate{Entries: 700, SmallDevices: true}.Fill(t, dir)
		unmount()
	}
	return image, parts
}

// place is where the partition lies, as options of mount(8).
func (p part) place() string { return fmt.Sprintf("offset=%d,sizelimit=%d", p.off, p.mb<<20) }

func shell(t *testing.T, line, stdin string) string {
	t.Helper()
	cmd := exec.Command("sh", "-c", line)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", line, err, out)
	}
	return string(out)
}

// TestDf compares with df(1) on mounts that write nothing. Not every kernel has FAT:
// fsck.fat counts its clusters.
func TestDf(t *testing.T) {
	image, parts := threeParts(t)
	for _, unit := range []struct{ ours, theirs string }{
		{"df", "df -k --output=size,used,avail,pcent"},
		{"df -i", "df --output=itotal,iused,iavail,ipcent"},
	} {
		var want, got [][]string
		for _, p := range parts[:2] {
			dir, unmount := fsedittest.Mount(t, image, "ro,"+p.place())
			lines := strings.Split(strings.TrimSpace(shell(t, unit.theirs+" "+dir, "")), "\n")
			want = append(want, strings.Fields(lines[1]))
			unmount()
		}
		r := wants(t, exitOK, append(strings.Fields(unit.ours), image))
		for _, line := range strings.Split(strings.TrimSpace(r.stdout), "\n")[1:3] {
			got = append(got, strings.Fields(line)[1:5])
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-df +ours):\n%s", unit.ours, diff)
		}
	}
	fat := filepath.Join(t.TempDir(), "fat")
	shell(t, fmt.Sprintf("dd if=%s of=%s bs=1M skip=%d status=none && truncate -s %dM %s", image, fat, parts[2].off>>20, parts[2].mb, fat), "")
	_, counts, _ := strings.Cut(testtool.Run(t, "fsck.fat", "-n", fat), " files, ")
	var used, all int64
	if _, err := fmt.Sscanf(counts, "%d/%d clusters", &used, &all); err != nil {
		t.Fatal(err, counts)
	}
	const cluster = 512
	if v := listed(t, image)["sda3"]; v.Space == nil || v.Space.Size != all*cluster || v.Space.Used != used*cluster || v.Space.Available != (all-used)*cluster {
		t.Errorf("%+v, fsck.fat counts %s", v.Space, counts)
	}
}

// listed is what filesystems --json says of the volumes, by ID.
func listed(t *testing.T, args ...string) map[string]volumeInfo {
	t.Helper()
	r := wants(t, exitOK, append([]string{"filesystems", "--json"}, args...))
	var all struct{ Machines []machineVolumes }
	if err := json.Unmarshal([]byte(r.stdout), &all); err != nil || len(all.Machines) != 1 {
		t.Fatalf("%v\n%s", err, r.stdout)
	}
	out := map[string]volumeInfo{}
	for _, v := range all.Machines[0].Volumes {
		out[v.ID] = v
	}
	return out
}

// TestFilesystems compares with sfdisk and blkid.
func TestFilesystems(t *testing.T) {
	image, parts := threeParts(t)
	got := listed(t, image)
	if len(got) != len(parts)+1 {
		t.Fatalf("%+v", got)
	}
	var dump struct {
		PartitionTable struct {
			ID         string
			Partitions []struct {
				Start, Size int64
				Type, UUID  string
			}
		}
	}
	if err := json.Unmarshal([]byte(testtool.Run(t, "sfdisk", "--json", image)), &dump); err != nil {
		t.Fatal(err)
	}
	if got["sda"].Table != "gpt" || !strings.EqualFold(got["sda"].TableID, dump.PartitionTable.ID) {
		t.Errorf("%+v", got["sda"])
	}
	for i, want := range dump.PartitionTable.Partitions {
		v := got[fmt.Sprintf("sda%d", i+1)]
		if v.Offset != want.Start*512 || v.Size != want.Size*512 || !strings.EqualFold(v.PartType, want.Type) || !strings.EqualFold(v.PartUUID, want.UUID) {
			t.Errorf("%+v, sfdisk says %+v", v, want)
		}
		wantIdent(t, image, parts[i].off, v)
	}
}

// wantIdent compares a volume's content with what blkid(8) reads at a byte of the image.
func wantIdent(t *testing.T, image string, off int64, v volumeInfo) {
	t.Helper()
	want := map[string]string{}
	for line := range strings.Lines(testtool.Run(t, "blkid", "-p", "-o", "export", "-O", strconv.FormatInt(off, 10), "-S", strconv.FormatInt(v.Size, 10), image)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		want[key] = value
	}
	if v.Type != want["TYPE"] || v.UUID != want["UUID"] || v.Label != want["LABEL"] {
		t.Errorf("%s: %s %s %q, blkid says %v", v.ID, v.Type, v.UUID, v.Label, want)
	}
}

// TestFilesystemsLVM compares with what lvm itself reports of a group on two disks.
func TestFilesystemsLVM(t *testing.T) {
	testtool.Need(t, "lvm", "losetup", "mke2fs")
	dir := t.TempDir()
	var disks, loops []string
	for _, name := range []string{"a.img", "b.img"} {
		disk := filepath.Join(dir, name)
		shell(t, "truncate -s 64M "+disk, "")
		loop := strings.TrimSpace(testtool.Run(t, "losetup", "-f", "--show", disk))
		t.Cleanup(func() { testtool.Try(t, "losetup", "-d", loop) })
		disks, loops = append(disks, disk), append(loops, loop)
	}
	lvm := func(args ...string) string {
		t.Helper()
		config := fmt.Sprintf(`devices { filter=["a|^%s$|","a|^%s$|","r|.*|"] use_devicesfile=0 scan_lvs=0 } backup { backup=0 archive=0 }
			global { locking_dir=%q } activation { udev_sync=0 udev_rules=0 }`, loops[0], loops[1], dir)
		cmd := exec.Command("lvm", append([]string{args[0], "--driverloaded", "n", "--config", config}, args[1:]...)...)
		cmd.Env = append(os.Environ(), "LVM_SUPPRESS_FD_WARNINGS=1")
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("lvm %q: %v\n%s", args, err, err.(*exec.ExitError).Stderr)
		}
		return string(out)
	}
	lvm("vgcreate", "-q", "-s", "1M", "vmconvdf", loops[0], loops[1])
	lvm("lvcreate", "-q", "-an", "-Zn", "-Wn", "-l", "80", "-n", "wide", "vmconvdf")
	lvm("lvcreate", "-q", "-an", "-Zn", "-Wn", "-l", "20", "-n", "small", "vmconvdf")
	pvs := lvm("pvs", "--noheadings", "--nosuffix", "--units", "b", "-o", "pv_name,pv_uuid,pv_free")
	lvs := lvm("lvs", "--noheadings", "--nosuffix", "--units", "b", "-o", "lv_name,lv_uuid,lv_size,segtype", "--sort", "lv_name")
	for _, loop := range loops {
		testtool.Run(t, "losetup", "-d", loop)
	}

	got := listed(t, "-a", disks[0], "-a", disks[1])
	for _, line := range strings.Split(strings.TrimSpace(pvs), "\n") {
		fields, free := strings.Fields(line), int64(0)
		v := got[volume.DiskName("sd", slices.Index(loops, fields[0]))]
		for _, s := range v.Free {
			free += s.Size
		}
		if v.Type != "LVM2_member" || v.Claimed != "lvm" || v.UUID != fields[1] || strconv.FormatInt(free, 10) != fields[2] {
			t.Errorf("%+v, pvs says %q", v, fields)
		}
	}
	for _, line := range strings.Split(strings.TrimSpace(lvs), "\n") {
		fields := strings.Fields(line)
		v := got["vmconvdf/"+fields[0]]
		if v.DevUUID != fields[1] || strconv.FormatInt(v.Size, 10) != fields[2] {
			t.Errorf("%+v, lvs says %q", v, fields)
		}
	}
	if wide := got["vmconvdf/wide"]; !slices.Equal(wide.Members, []string{"sda", "sdb"}) {
		t.Errorf("%+v", wide)
	}
	r := wants(t, exitOK, []string{"filesystems", "-a", disks[0], "-a", disks[1]})
	if n := strings.Count(r.stdout, "vmconvdf/wide"); n != 2 {
		t.Errorf("a volume on two members shows %d times:\n%s", n, r.stdout)
	}
}
