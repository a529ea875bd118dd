package guest

import (
	"testing"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/fsedit/fsedittest"
)

// fixture is the tree of a guest in memory.
func fixture(files map[string]string) *Tree {
	v := &fsedittest.MemVolume{FS: fsedittest.NewMemFS(files)}
	return NewTree([]Mounted{{Path: "/", Volume: "sda1", Open: func() (filesys.Volume, filesys.FS, error) { return v, v.FS, nil }}})
}

const testLimit = 1 << 20

func TestReadOS(t *testing.T) {
	for _, c := range []struct {
		name  string
		files map[string]string
		want  OS
	}{
		{"debian 12", map[string]string{
			"etc/os-release":     "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nNAME=\"Debian GNU/Linux\"\nVERSION_ID=\"12\"\nID=debian\n",
			"etc/debian_version": "12.7\n"},
			OS{Distro: "debian", Family: "debian", Name: "Debian GNU/Linux 12 (bookworm)", Version: "12.7", Major: 12, Minor: 7}},
		{"debian testing", map[string]string{
			"etc/os-release": "ID=debian\nPRETTY_NAME=\"Debian GNU/Linux trixie/sid\"\n", "etc/debian_version": "trixie/sid\n"},
			OS{Distro: "debian", Family: "debian", Name: "Debian GNU/Linux trixie/sid"}},
		{"debian 4", map[string]string{"etc/debian_version": "4.0\n"},
			OS{Distro: "debian", Family: "debian", Name: "Debian GNU/Linux 4.0", Version: "4.0", Major: 4}},
		{"ubuntu 22.04 below usr", map[string]string{
			"usr/lib/os-release": "ID=ubuntu\nID_LIKE=debian\nVERSION_ID='22.04'\nPRETTY_NAME=\"Ubuntu 22.04.4 LTS\"\n"},
			OS{Distro: "ubuntu", Family: "debian", Name: "Ubuntu 22.04.4 LTS", Version: "22.04", Major: 22, Minor: 4}},
		{"ubuntu 8.04", map[string]string{
			"etc/lsb-release":    "DISTRIB_ID=Ubuntu\nDISTRIB_RELEASE=8.04\nDISTRIB_DESCRIPTION=\"Ubuntu 8.04.4 LTS\"\n",
			"etc/debian_version": "lenny/sid\n"},
			OS{Distro: "ubuntu", Family: "debian", Name: "Ubuntu 8.04.4 LTS", Version: "8.04", Major: 8, Minor: 4}},
		{"centos 7", map[string]string{
			"etc/os-release":     "NAME=\"CentOS Linux\"\nVERSION=\"7 (Core)\"\nID=\"centos\"\nID_LIKE=\"rhel fedora\"\nVERSION_ID=\"7\"\nPRETTY_NAME=\"CentOS Linux 7 (Core)\"\n",
			"etc/centos-release": "CentOS Linux release 7.9.2009 (Core)\n"},
			OS{Distro: "centos", Family: "rhel", Name: "CentOS Linux 7 (Core)", Version: "7.9", Major: 7, Minor: 9}},
		{"rhel 3 with an empty lsb-release", map[string]string{
			"etc/lsb-release": "LSB_VERSION=\"1.3\"\n", "etc/redhat-release": "Red Hat Enterprise Linux AS release 3 (Taroon Update 9)\n"},
			OS{Distro: "rhel", Family: "rhel", Name: "Red Hat Enterprise Linux AS release 3 (Taroon Update 9)", Version: "3.9", Major: 3, Minor: 9}},
		{"rhel 5", map[string]string{"etc/redhat-release": "Red Hat Enterprise Linux Server release 5.11 (Tikanga)\n"},
			OS{Distro: "rhel", Family: "rhel", Name: "Red Hat Enterprise Linux Server release 5.11 (Tikanga)", Version: "5.11", Major: 5, Minor: 11}},
		{"fedora 10", map[string]string{"etc/redhat-release": "Fedora release 10 (Cambridge)\n"},
			OS{Distro: "fedora", Family: "rhel", Name: "Fedora release 10 (Cambridge)", Version: "10", Major: 10}},
		{"oracle 6", map[string]string{"etc/oracle-release": "Oracle Linux Server release 6.10\n", "etc/redhat-release": "Red Hat Enterprise Linux Server release 6.10 (Santiago)\n"},
			OS{Distro: "ol", Family: "rhel", Name: "Oracle Linux Server release 6.10", Version: "6.10", Major: 6, Minor: 10}},
		{"almalinux 9", map[string]string{"etc/os-release": "ID=\"almalinux\"\nID_LIKE=\"rhel centos fedora\"\nVERSION_ID=\"9.4\"\nPRETTY_NAME=\"AlmaLinux 9.4\"\n"},
			OS{Distro: "almalinux", Family: "rhel", Name: "AlmaLinux 9.4", Version: "9.4", Major: 9, Minor: 4}},
		{"sles 11", map[string]string{"etc/SuSE-release": "SUSE Linux Enterprise Server 11 (x86_64)\nVERSION = 11\nPATCHLEVEL = 3\n"},
			OS{Distro: "sles", Family: "suse", Name: "SUSE Linux Enterprise Server 11 (x86_64)", Version: "11.3", Major: 11, Minor: 3}},
		{"opensuse 11.4", map[string]string{"etc/SuSE-release": "openSUSE 11.4 (x86_64)\nVERSION = 11.4\n"},
			OS{Distro: "opensuse", Family: "suse", Name: "openSUSE 11.4 (x86_64)", Version: "11.4", Major: 11, Minor: 4}},
		{"leap", map[string]string{"etc/os-release": "ID=\"opensuse-leap\"\nID_LIKE=\"suse opensuse\"\nVERSION_ID=\"15.6\"\nPRETTY_NAME=\"openSUSE Leap 15.6\"\n"},
			OS{Distro: "opensuse-leap", Family: "suse", Name: "openSUSE Leap 15.6", Version: "15.6", Major: 15, Minor: 6}},
		{"arch", map[string]string{"etc/os-release": "NAME=\"Arch Linux\"\nPRETTY_NAME=\"Arch Linux\"\nID=arch\nBUILD_ID=rolling\n"},
			OS{Distro: "arch", Family: "arch", Name: "Arch Linux"}},
		{"alpine", map[string]string{"etc/os-release": "NAME=\"Alpine Linux\"\nID=alpine\nVERSION_ID=3.19.1\nPRETTY_NAME=\"Alpine Linux v3.19\"\n"},
			OS{Distro: "alpine", Family: "alpine", Name: "Alpine Linux v3.19", Version: "3.19.1", Major: 3, Minor: 19}},
		{"alpine 2", map[string]string{"etc/alpine-release": "2.7.9\n"},
			OS{Distro: "alpine", Family: "alpine", Name: "Alpine Linux 2.7.9", Version: "2.7", Major: 2, Minor: 7}},
		{"a derivative nobody knows", map[string]string{"etc/os-release": "ID=frobnix\nID_LIKE=\"wibble ubuntu debian\"\nNAME=Frobnix\nVERSION='1 (One)'\n"},
			OS{Distro: "frobnix", Family: "debian", Name: "Frobnix 1 (One)"}},
		{"nothing", nil, OS{Family: "unknown"}},
	} {
		c.want.Type = "linux"
		if got := readOS(fixture(c.files), testLimit); got != c.want {
			t.Errorf("%s:\n %+v, not\n %+v", c.name, got, c.want)
		}
	}
}

func TestShellVars(t *testing.T) {
	got := parseShellVars([]byte("A=1\n export B=\"x \\\"y\\\" \\n\"\nC='it''s'\n#D=1\nE=a b\nF=\"a\"'b'c # d\nA=2\nbad line\n=x\nG=\n"))
	want := map[string]string{"A": "2", "B": `x "y" \n`, "C": "its", "E": "a", "F": "abc", "G": ""}
	if len(got) != len(want) {
		t.Errorf("%q", got)
	}
	for k, v := range want {
		if got[k] != v {
			t.Errorf("%s is %q, not %q", k, got[k], v)
		}
	}
}

func TestSystem(t *testing.T) {
	elf := "\x7fELF\x02\x01" + string(make([]byte, 12)) + "\x3e\x00"
	for _, c := range []struct {
		name  string
		files map[string]string
		want  OS
	}{
		{"debian", map[string]string{"usr/bin/bash": elf, "bin": "-> usr/bin", "etc/hostname": "web01\n", "etc/machine-id": "0123\n", "sbin": "-> usr/sbin",
			"usr/sbin/init": "-> /lib/systemd/systemd", "lib": "-> usr/lib", "usr/lib/systemd/systemd": "", "var/lib/dpkg/status": "", "usr/bin/apt-get": ""},
			OS{Arch: "x86_64", Hostname: "web01", MachineID: "0123", Init: "systemd", PackageFormat: "deb", PackageManager: "apt"}},
		{"centos 5", map[string]string{"bin/ls": "\x7fELF\x01\x01" + string(make([]byte, 12)) + "\x03\x00", "etc/sysconfig/network": "NETWORKING=yes\nHOSTNAME=db.example\n",
			"sbin/init": "elf", "etc/inittab": "", "var/lib/rpm/Packages": "", "usr/bin/yum": ""},
			OS{Arch: "i386", Hostname: "db.example", Init: "sysv", PackageFormat: "rpm", PackageManager: "yum"}},
		{"ubuntu 14.04", map[string]string{"sbin/init": "elf", "sbin/initctl": "", "etc/init/": ""}, OS{Init: "upstart"}},
		{"alpine", map[string]string{"sbin/init": "-> /bin/busybox", "bin/busybox": "", "etc/inittab": "", "sbin/openrc": "", "lib/apk/db/installed": "", "sbin/apk": ""},
			OS{Init: "openrc", PackageFormat: "apk", PackageManager: "apk"}},
	} {
		var got OS
		readSystem(fixture(c.files), testLimit, &got)
		if got != c.want {
			t.Errorf("%s:\n %+v, not\n %+v", c.name, got, c.want)
		}
	}
}

func FuzzReadOS(f *testing.F) {
	f.Add("ID=debian\nVERSION_ID=\"12\"", "12.5", "SUSE Linux Enterprise Server 11\nPATCHLEVEL = 3")
	f.Fuzz(func(t *testing.T, release, debian, suse string) {
		readOS(fixture(map[string]string{"etc/os-release": release, "etc/debian_version": debian, "etc/SuSE-release": suse}), testLimit)
		readOS(fixture(map[string]string{"etc/redhat-release": debian, "etc/lsb-release": release}), testLimit)
	})
}
