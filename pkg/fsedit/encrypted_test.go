//go:build linux

package fsedit_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vmconv/vmconv/pkg/fsedit"
	"github.com/vmconv/vmconv/pkg/fsedit/guest"
	"github.com/vmconv/vmconv/pkg/fsedit/volume"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

// encrypt has cryptsetup put plain into a container, which is 8 MiB longer.
func encrypt(t testing.TB, plain []byte, key string, args ...string) []byte {
	t.Helper()
	file := writeFile(t, plain)
	if err := os.Truncate(file, int64(len(plain)+8*mib)); err != nil {
		t.Fatal(err)
	}
	testtool.Run(t, "cryptsetup", append([]string{"reencrypt", "--encrypt", "-q", "--type", "luks2", "--resilience", "none", "--reduce-device-size", "8M",
		"--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000", "--key-file", writeFile(t, []byte(key)), file}, args...)...)
	return readAll(t, file)
}

// decrypt is what cryptsetup makes of a container, the n bytes that were put in.
func decrypt(t testing.TB, sealed []byte, key string, n int) []byte {
	t.Helper()
	file := writeFile(t, sealed)
	testtool.Run(t, "cryptsetup", "reencrypt", "--decrypt", "-q", "--force-offline-reencrypt",
		"--header", filepath.Join(t.TempDir(), "header"), "--key-file", writeFile(t, []byte(key)), file)
	return readAll(t, file)[:n]
}

// keys has one for each selector.
func keys(pairs ...string) *volume.Keyring {
	return volume.NewKeyring(func(l volume.Locked) iter.Seq2[[]byte, error] {
		return func(yield func([]byte, error) bool) {
			for i := 0; i < len(pairs); i += 2 {
				if l.Is(pairs[i]) && !yield([]byte(pairs[i+1]), nil) {
					return
				}
			}
		}
	})
}

// TestEncryptedGuest: a root and a home with a key each.
func TestEncryptedGuest(t *testing.T) {
	files := rootFiles("/dev/mapper/cryptroot / ext4\n/dev/xvda1 /boot ext4\n/dev/mapper/home /home ext4\n")
	files["etc/crypttab"] = "# name device\ncryptroot\tUUID=11111111-2222-3333-4444-555555555555 none luks\nhome /dev/xvda3 /key luks,discard\nno\n"
	d := disk(t, ext(t, 8, map[string]string{"vmlinuz": "kernel"}),
		encrypt(t, ext(t, 8, files), "one", "--uuid", "11111111-2222-3333-4444-555555555555"),
		encrypt(t, ext(t, 8, map[string]string{"x": "data"}, "-b", "4096"), "two", "--sector-size", "4096"))
	const root = "luks-11111111-2222-3333-4444-555555555555"

	m := mustOpen(t, fsedit.Options{Level: guest.Mounts, Keys: keys("sda2", "one", "/dev/sda3", "two")}, d)
	if m.Facts.Root != root || cat(t, m, "/boot/vmlinuz") != "kernel" || cat(t, m, "/home/x") != "data" || len(m.Facts.Warnings) > 0 {
		t.Errorf("%+v", m.Facts)
	}
	for _, name := range []string{"sda2", "/dev/sda2", "/dev/mapper/" + root, root} {
		m := mustOpen(t, fsedit.Options{Level: guest.Mounts, Root: name, Keys: keys("all", "one")}, d)
		if m.Facts.Root != root {
			t.Errorf("--root %s is %q", name, m.Facts.Root)
		}
		m = mustOpen(t, fsedit.Options{Mounts: []string{name}, Keys: keys("all", "one")}, d)
		cat(t, m, "/etc/fstab")
	}

	m = mustOpen(t, fsedit.Options{Level: guest.Full, Keys: keys("all", "one")}, d)
	if m.Facts.Root != root || cat(t, m, "/boot/vmlinuz") != "kernel" || !strings.Contains(strings.Join(m.Facts.Warnings, "\n"), "sda3 (LUKS2") {
		t.Errorf("%+v", m.Facts)
	}
	wantLocked(t, m, "/home/x", "sda3", 1)
	m = mustOpen(t, fsedit.Options{Level: guest.Mounts, Keys: keys("sda3", "two")}, d)
	wantLocked(t, m, "/etc/fstab", "sda2", 0)
	m = mustOpen(t, fsedit.Options{Level: guest.Mounts}, d)
	wantLocked(t, m, "/", "sda2", 0)
	_, err := open(t, fsedit.Options{Level: guest.Mounts, Root: "sda2"}, d)
	if !errors.Is(err, ondisk.ErrEncrypted) {
		t.Errorf("--root: %v", err)
	}
	if _, err := open(t, fsedit.Options{Mounts: []string{"sda3"}}, d); !errors.Is(err, ondisk.ErrEncrypted) {
		t.Errorf("-m: %v", err)
	}
}

func wantLocked(t *testing.T, m *fsedit.Machine, path, id string, tried int) {
	t.Helper()
	_, err := m.Tree.Stat(path)
	var key *volume.KeyError
	if !errors.Is(err, ondisk.ErrEncrypted) || !errors.As(err, &key) || key.ID != id || key.Tried != tried {
		t.Errorf("%s: %v", path, err)
	}
}

// TestGroupInEncryption: a volume group over two encrypted disks, and one over an
// encrypted and a plain one.
func TestGroupInEncryption(t *testing.T) {
	root := ext(t, 16, rootFiles("/dev/mapper/v--g-root / ext4\n/dev/v-g/var /var ext4\n"))
	plain := lvmDisks(t, root, ext(t, 12, map[string]string{"x": "data"}))
	one, two := encrypt(t, plain[0], "k", "--sector-size", "4096"), encrypt(t, plain[1], "k")
	for _, disks := range [][][]byte{{one, two}, {one, plain[1]}, {plain[0], two}} {
		m := mustOpen(t, fsedit.Options{Level: guest.Mounts, Keys: keys("all", "k")}, disks...)
		if m.Facts.Root != "v-g/root" || cat(t, m, "/var/x") != "data" || len(m.Facts.Warnings) > 0 {
			t.Fatalf("%+v", m.Facts)
		}
	}
	m := mustOpen(t, fsedit.Options{Level: guest.Mounts}, plain[0], two)
	if m.Facts.Root != "v-g/root" {
		t.Fatalf("%+v", m.Facts)
	}
	wantLocked(t, m, "/var/x", "sdb", 0)
	m = mustOpen(t, fsedit.Options{Level: guest.Mounts}, one, two)
	wantLocked(t, m, "/var/x", "sda", 0)

	disks := [][]byte{one, two}
	m = mustOpen(t, fsedit.Options{Keys: keys("all", "k")}, disks...)
	for i, d := range disks {
		free, kept, err := m.FreeExtents(context.Background(), i)
		if err != nil || len(kept) > 0 || sum(free) < 27*mib {
			t.Errorf("disk %d: %d bytes free, %v, %q", i, sum(free), err, kept)
		}
		for _, r := range free {
			clear(d[r.Off : r.Off+r.Len])
		}
	}
	m = mustOpen(t, fsedit.Options{Level: guest.Mounts, Keys: keys("all", "k")}, disks...)
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
}

// TestEncryptionInGroup: an encrypted logical volume, by the names of both.
func TestEncryptionInGroup(t *testing.T) {
	files := rootFiles("/dev/mapper/cryptroot / ext4\n/dev/v-g/var /var ext4\n")
	files["etc/crypttab"] = "cryptroot /dev/mapper/v--g-root none luks\n"
	disks := lvmDisks(t, encrypt(t, ext(t, 8, files), "k"), ext(t, 12, map[string]string{"x": "data"}))
	for _, selector := range []string{"v-g/root", "/dev/v-g/root", "/dev/mapper/v--g-root"} {
		m := mustOpen(t, fsedit.Options{Level: guest.Mounts, Keys: keys(selector, "k")}, disks...)
		if !strings.HasPrefix(m.Facts.Root, "luks-") || cat(t, m, "/var/x") != "data" || len(m.Facts.Warnings) > 0 {
			t.Errorf("%s: %+v", selector, m.Facts)
		}
	}
}

// TestFreeInEncryption: what is free in there may be dropped below; cryptsetup and
// e2fsck judge what is left.
func TestFreeInEncryption(t *testing.T) {
	for _, sector := range []int{512, 4096} {
		plain := ext(t, 16, map[string]string{"x": strings.Repeat("data", 5000)}, "-b", "4096")
		sealed := encrypt(t, plain, "k", "--sector-size", fmt.Sprint(sector))
		d := disk(t, sealed, swap(t, 4))
		m := mustOpen(t, fsedit.Options{Keys: keys("all", "k")}, d)
		free, kept, err := m.FreeExtents(context.Background(), 0)
		if err != nil || len(kept) > 0 || sum(free) < 10*mib {
			t.Fatalf("%d bytes free, %v, %q", sum(free), err, kept)
		}
		for _, r := range free {
			clear(d[r.Off : r.Off+r.Len])
		}
		img := writeFile(t, decrypt(t, d[mib:mib+len(sealed)], "k", len(plain)))
		testtool.Run(t, "e2fsck", "-fn", img)
		if out := testtool.Run(t, "debugfs", "-R", "cat /x", img); !strings.Contains(out, strings.Repeat("data", 5000)) {
			t.Error("a file is gone with what was free")
		}
	}
	m := mustOpen(t, fsedit.Options{}, disk(t, encrypt(t, ext(t, 8, nil), "k")))
	if free, _, err := m.FreeExtents(context.Background(), 0); err != nil || len(free) > 0 {
		t.Errorf("of what is locked %v is free (%v)", free, err)
	}
}
