//go:build guests

package fsedit_test

import (
	"context"
	"encoding/xml"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vmconv/vmconv/pkg/fsedit"
	"github.com/vmconv/vmconv/pkg/fsedit/guest"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

// inspected is what virt-inspector and our facts both say of a guest.
type inspected struct {
	Root, Arch, Distro, Hostname, Format, Manager string
	Major, Minor                                  int
	Mounts, Filesystems, Packages, Kernels        []string
}

// TestGuestAgreesWithVirtInspector inspects the real guests of scripts/guests, in
// the folder VMCONV_GUESTS, beside virt-inspector. It takes a minute a guest.
func TestGuestAgreesWithVirtInspector(t *testing.T) {
	testtool.Need(t, "virt-inspector")
	dir := os.Getenv("VMCONV_GUESTS")
	if dir == "" {
		t.Fatal("VMCONV_GUESTS names no folder: run scripts/guests")
	}
	for _, name := range []string{"mbr", "gpt", "bare"} {
		t.Run(name, func(t *testing.T) {
			img := filepath.Join(dir, name+".img")
			want := virtInspector(t, img)
			if diff := cmp.Diff(want, ourFacts(t, img)); diff != "" {
				t.Errorf("facts (-virt-inspector +ours):\n%s", diff)
			}
		})
	}
}

func virtInspector(t *testing.T, img string) inspected {
	t.Helper()
	cmd := exec.Command("virt-inspector", "--no-icon", "--format=raw", "-a", img)
	cmd.Env = append(os.Environ(), "LIBGUESTFS_BACKEND=direct", "LIBGUESTFS_BACKEND_SETTINGS=force_tcg")
	cmd.Stderr = os.Stderr
	text, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v", strings.Join(cmd.Args, " "), err)
	}
	var x struct {
		Systems []struct {
			Root     string `xml:"root"`
			Arch     string `xml:"arch"`
			Distro   string `xml:"distro"`
			Major    int    `xml:"major_version"`
			Minor    int    `xml:"minor_version"`
			Format   string `xml:"package_format"`
			Manager  string `xml:"package_management"`
			Hostname string `xml:"hostname"`
			Mounts   []struct {
				Dev  string `xml:"dev,attr"`
				Path string `xml:",chardata"`
			} `xml:"mountpoints>mountpoint"`
			Filesystems []struct {
				Dev  string `xml:"dev,attr"`
				Type string `xml:"type"`
				UUID string `xml:"uuid"`
			} `xml:"filesystems>filesystem"`
			Applications []struct {
				Name    string `xml:"name"`
				Epoch   string `xml:"epoch"`
				Version string `xml:"version"`
				Release string `xml:"release"`
				Arch    string `xml:"arch"`
			} `xml:"applications>application"`
		} `xml:"operatingsystem"`
	}
	if err := xml.Unmarshal(text, &x); err != nil {
		t.Fatal(err)
	}
	if len(x.Systems) != 1 {
		t.Fatalf("virt-inspector finds %d systems", len(x.Systems))
	}
	s := x.Systems[0]
	out := inspected{Root: s.Root, Arch: s.Arch, Distro: s.Distro, Hostname: s.Hostname, Format: s.Format, Manager: s.Manager, Major: s.Major, Minor: s.Minor}
	for _, m := range s.Mounts {
		out.Mounts = append(out.Mounts, m.Dev+" "+m.Path)
	}
	for _, f := range s.Filesystems {
		out.Filesystems = append(out.Filesystems, f.Dev+" "+f.Type+" "+f.UUID)
	}
	for _, a := range s.Applications {
		version := a.Version
		if a.Epoch != "" && a.Epoch != "0" {
			version = a.Epoch + ":" + version
		}
		if a.Release != "" {
			version += "-" + a.Release
		}
		out.Packages = append(out.Packages, a.Name+" "+version+" "+a.Arch)
		if kv, ok := strings.CutPrefix(a.Name, "linux-image-"); ok && kv[0] >= '0' && kv[0] <= '9' {
			out.Kernels = append(out.Kernels, kv)
		}
	}
	return out.sorted()
}

func ourFacts(t *testing.T, img string) inspected {
	t.Helper()
	f, err := os.Open(img)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	disk := blockdev.NewOverlay(hostFile{f, info.Size()}, blockdev.OverlayOptions{})
	m, err := fsedit.Open(context.Background(), []blockdev.Device{disk}, fsedit.Options{Level: guest.Full})
	if err != nil {
		t.Fatal(err)
	}
	x := m.Facts
	out := inspected{Root: "/dev/" + x.Root, Arch: x.OS.Arch, Distro: x.OS.Distro, Hostname: x.OS.Hostname,
		Format: x.OS.PackageFormat, Manager: x.OS.PackageManager, Major: x.OS.Major, Minor: x.OS.Minor}
	for _, mt := range x.Mounts {
		out.Mounts = append(out.Mounts, "/dev/"+mt.Volume+" "+mt.Path)
	}
	for _, fs := range x.Filesystems {
		out.Filesystems = append(out.Filesystems, "/dev/"+fs.Volume+" "+fs.Type+" "+fs.UUID)
	}
	for _, p := range x.Packages {
		out.Packages = append(out.Packages, p.Name+" "+p.Version+" "+p.Arch)
	}
	for _, k := range x.Kernels {
		out.Kernels = append(out.Kernels, k.Version)
	}
	if len(x.Warnings) > 0 {
		t.Errorf("warnings: %s", strings.Join(x.Warnings, "\n"))
	}
	return out.sorted()
}

func (i inspected) sorted() inspected {
	for _, list := range [][]string{i.Mounts, i.Filesystems, i.Packages, i.Kernels} {
		slices.Sort(list)
	}
	return i
}

// hostFile is an open image.
type hostFile struct {
	*os.File
	size int64
}

func (f hostFile) Size() int64 { return f.size }
