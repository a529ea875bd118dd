package guest

import (
	"encoding/binary"
	"fmt"
	"maps"
	"strings"
	"testing"
)

// bzImage is the start of an x86 kernel image that states a release.
func bzImage(release string) string {
	p := make([]byte, 0x800)
	copy(p[0x202:], "HdrS")
	p[0x236] = 1
	binary.LittleEndian.PutUint16(p[0x20e:], 0x300)
	copy(p[0x500:], release+" (who@where) #1 SMP")
	return string(p)
}

const grubCfg = `
if [ -s $prefix/grubenv ]; then
  set have_grubenv=true
  load_env
fi
if [ "${next_entry}" ] ; then
   set default="${next_entry}"
   set next_entry=
else
   set default="%s"
fi
function savedefault {
  if [ -z "${boot_once}" ]; then
    save_env saved_entry
  fi
}
menuentry 'Debian GNU/Linux' --class debian --class os $menuentry_id_option 'gnulinux-simple-u' {
	load_video
	if [ x$grub_platform = xxen ]; then insmod xzio; insmod lzopio; fi
	search --no-floppy --fs-uuid --set=root u
	echo	'Loading Linux 6.1.0-18-amd64 ...'
	linux	/boot/vmlinuz-6.1.0-18-amd64 root=/dev/xvda1 ro "quiet splash" console=hvc0
	initrd	/boot/intel-ucode.img /boot/initrd.img-6.1.0-18-amd64
}
submenu 'Advanced options' $menuentry_id_option 'gnulinux-advanced-u' {
	menuentry 'Debian, with Linux 6.1.0-18-amd64' --class debian $menuentry_id_option 'gnulinux-6.1.0-18-amd64-advanced-u' {
		linux	/boot/vmlinuz-6.1.0-18-amd64 root=/dev/xvda1 ro
		initrd	/boot/initrd.img-6.1.0-18-amd64
	}
	menuentry 'Debian, with Linux 6.1.0-9-amd64' --id old {
		linux	($root)/boot/vmlinuz-6.1.0-9-amd64 root=/dev/xvda1 ro old
		initrd	/boot/initrd.img-6.1.0-9-amd64
	}
}
menuentry "Memory test" {
	linux16 /boot/memtest86+.bin
}
menuentry "Firmware setup" {
	fwsetup
}
`

// debianBoot is a guest with two kernels.
func debianBoot() map[string]string {
	files := map[string]string{"boot/grub/grub.cfg": fmt.Sprintf(grubCfg, "0"), "boot/grub/grubenv": "# GRUB Environment Block\nsaved_entry=gnulinux-advanced-u>old\n####", "etc/default/grub": ""}
	for _, kv := range []string{"6.1.0-9-amd64", "6.1.0-18-amd64"} {
		files["boot/vmlinuz-"+kv] = bzImage(kv)
		files["boot/initrd.img-"+kv] = "cpio"
		files["boot/config-"+kv] = "CONFIG_XEN=y\n"
		files["lib/modules/"+kv+"/modules.dep"] = "kernel/x.ko:\n"
		files["lib/modules/"+kv+"/kernel/drivers/virtio/virtio.ko"] = "\x7fELF\x02\x01" + string(make([]byte, 12)) + "\x3e\x00"
	}
	files["lib/modules/6.1.0-3-amd64/modules.softdep"] = "left behind"
	files["boot/vmlinuz-6.1.0-18-amd64.dpkg-bak"] = bzImage("6.1.0-18-amd64")
	return files
}

func describe(kernels []Kernel) string {
	var b strings.Builder
	for _, k := range kernels {
		fmt.Fprintf(&b, "%s modules=%s image=%s initramfs=%s arch=%s args=%q default=%t xen=%t entries=%d\n",
			k.Version, k.Modules, k.Image, k.Initramfs, k.Arch, k.Args, k.Default, k.XenOnly, len(k.Entries))
	}
	return b.String()
}

func inspectBoot(files map[string]string) ([]Loader, []Kernel) {
	v := fixture(files)
	loaders, entries, _ := findLoaders(v, testLimit, bootCode{loader: "grub2"}, nil)
	return loaders, findKernels(v, testLimit, entries)
}

func TestKernelsOfDebian(t *testing.T) {
	const want = `6.1.0-18-amd64 modules=/lib/modules/6.1.0-18-amd64 image=/boot/vmlinuz-6.1.0-18-amd64 initramfs=/boot/initrd.img-6.1.0-18-amd64 arch=x86_64 args="root=/dev/xvda1 ro \"quiet splash\" console=hvc0" default=true xen=false entries=2
6.1.0-9-amd64 modules=/lib/modules/6.1.0-9-amd64 image=/boot/vmlinuz-6.1.0-9-amd64 initramfs=/boot/initrd.img-6.1.0-9-amd64 arch=x86_64 args="root=/dev/xvda1 ro old" default=false xen=false entries=1
`
	loaders, kernels := inspectBoot(debianBoot())
	if got := describe(kernels); got != want {
		t.Errorf("kernels:\n%snot\n%s", got, want)
	}
	if len(loaders) != 1 || loaders[0].Kind != "grub2" || loaders[0].Env != "/boot/grub/grubenv" || !loaders[0].Installed || len(loaders[0].Inputs) != 1 {
		t.Errorf("loaders: %+v", loaders)
	}
}

func TestDefaultOfGRUB(t *testing.T) {
	for preset, want := range map[string]string{
		"0": "6.1.0-18-amd64", "1>1": "6.1.0-9-amd64", "1": "6.1.0-18-amd64", "old": "6.1.0-18-amd64", "${saved_entry}": "6.1.0-9-amd64",
		"gnulinux-advanced-u>old": "6.1.0-9-amd64", "Advanced options>Debian, with Linux 6.1.0-9-amd64": "6.1.0-9-amd64",
		"gone": "6.1.0-18-amd64", "": "6.1.0-18-amd64",
	} {
		files := debianBoot()
		files["boot/grub/grub.cfg"] = fmt.Sprintf(grubCfg, preset)
		_, kernels := inspectBoot(files)
		for _, k := range kernels {
			if k.Default != (k.Version == want) {
				t.Errorf("default %q: %s is default: %t", preset, k.Version, k.Default)
			}
		}
	}
}

func TestOtherLoaders(t *testing.T) {
	base := map[string]string{"boot/vmlinuz-2.6.18-8.el5xen": "gz", "boot/initrd-2.6.18-8.el5xen.img": "x", "boot/config-2.6.18-8.el5xen": "CONFIG_X86_64_XEN=y\n",
		"boot/vmlinuz-2.6.18-8.el5": bzImage("2.6.18-8.el5"), "boot/initrd-2.6.18-8.el5.img": "x", "boot/config-2.6.18-8.el5": "# CONFIG_XEN is not set\n"}
	for _, c := range []struct{ name, path, text string }{
		{"grub-legacy", "boot/grub/menu.lst", "default=1\ntimeout 5\ntitle Xen\n\troot (hd0,0)\n\tkernel /vmlinuz-2.6.18-8.el5xen ro root=/dev/xvda1\n\tinitrd /initrd-2.6.18-8.el5xen.img\n" +
			"title Plain\n\tkernel (hd0,0)/boot/vmlinuz-2.6.18-8.el5 ro root=LABEL=/\n\tinitrd /boot/initrd-2.6.18-8.el5.img\n"},
		{"extlinux", "boot/extlinux/extlinux.conf", "DEFAULT plain\nLABEL xen\n  KERNEL ../vmlinuz-2.6.18-8.el5xen\n  APPEND initrd=../initrd-2.6.18-8.el5xen.img ro\n" +
			"LABEL plain\n  MENU LABEL Plain one\n  LINUX /boot/vmlinuz-2.6.18-8.el5\n  INITRD /boot/initrd-2.6.18-8.el5.img\n  APPEND ro root=LABEL=/\n"},
	} {
		files := maps.Clone(base)
		files[c.path] = c.text
		loaders, kernels := inspectBoot(files)
		if len(loaders) != 1 || loaders[0].Kind != c.name || len(kernels) != 2 {
			t.Fatalf("%s: loaders %+v, kernels\n%s", c.name, loaders, describe(kernels))
		}
		for _, k := range kernels {
			xen := strings.HasSuffix(k.Version, "xen")
			if k.Default == xen || k.XenOnly != xen || k.Initramfs != "/boot/initrd-"+k.Version+".img" || len(k.Entries) != 1 {
				t.Errorf("%s: %s", c.name, describe([]Kernel{k}))
			}
		}
	}
}

func TestLoaderEntries(t *testing.T) {
	files := map[string]string{
		"boot/grub2/grub.cfg": "set default=\"${saved_entry}\"\ninsmod blscfg\nblscfg\n", "boot/grub2/grubenv": "# GRUB Environment Block\nsaved_entry=m-5.14.0-70.el9\nkernelopts=root=/dev/sda2 ro\n",
		"boot/loader/entries/m-5.14.0-70.el9.conf":  "title RHEL 70\nlinux /vmlinuz-5.14.0-70.el9\ninitrd /initramfs-5.14.0-70.el9.img $tuned_initrd\noptions $kernelopts $tuned_params\n",
		"boot/loader/entries/m-5.14.0-162.el9.conf": "title RHEL 162\nlinux /vmlinuz-5.14.0-162.el9\ninitrd /initramfs-5.14.0-162.el9.img\noptions root=/dev/sda2 rw\n",
		"boot/vmlinuz-5.14.0-70.el9":                bzImage("5.14.0-70.el9"), "boot/vmlinuz-5.14.0-162.el9": bzImage("5.14.0-162.el9"),
		"boot/initramfs-5.14.0-70.el9.img": "", "boot/initramfs-5.14.0-162.el9.img": "",
	}
	_, kernels := inspectBoot(files)
	const want = `5.14.0-162.el9 modules= image=/boot/vmlinuz-5.14.0-162.el9 initramfs=/boot/initramfs-5.14.0-162.el9.img arch=x86_64 args="root=/dev/sda2 rw" default=false xen=false entries=1
5.14.0-70.el9 modules= image=/boot/vmlinuz-5.14.0-70.el9 initramfs=/boot/initramfs-5.14.0-70.el9.img arch=x86_64 args="root=/dev/sda2 ro" default=true xen=false entries=1
`
	if got := describe(kernels); got != want {
		t.Errorf("%snot\n%s", got, want)
	}
}

// TestImageNamesWithoutVersion: Alpine and Arch.
func TestImageNamesWithoutVersion(t *testing.T) {
	_, kernels := inspectBoot(map[string]string{"boot/vmlinuz-lts": bzImage("6.6.14-0-lts"), "boot/initramfs-lts": "x",
		"lib/modules/6.6.14-0-lts/modules.dep": "x:", "lib/modules/6.6.14-0-lts/kernel/": ""})
	if len(kernels) != 1 || kernels[0].Version != "6.6.14-0-lts" || kernels[0].Initramfs != "/boot/initramfs-lts" || kernels[0].Image != "/boot/vmlinuz-lts" {
		t.Errorf("%s", describe(kernels))
	}
}

// TestRescueEntry: a copy of a kernel with an initramfs of its own.
func TestRescueEntry(t *testing.T) {
	files := debianBoot()
	files["boot/vmlinuz-0-rescue-abc"] = bzImage("6.1.0-18-amd64")
	files["boot/initramfs-0-rescue-abc.img"] = "cpio"
	files["boot/grub/grub.cfg"] += "menuentry 'Rescue' {\n linux /boot/vmlinuz-0-rescue-abc ro\n initrd /boot/initramfs-0-rescue-abc.img\n}\n"
	_, kernels := inspectBoot(files)
	if len(kernels) != 3 || kernels[1].Version != kernels[0].Version || kernels[1].Initramfs != "/boot/initramfs-0-rescue-abc.img" || kernels[1].Default || !kernels[0].Default {
		t.Errorf("%s", describe(kernels))
	}
}

func FuzzBootEntries(f *testing.F) {
	f.Add(fmt.Sprintf(grubCfg, "1>1"), "saved_entry=old\n", "title a\nkernel /vmlinuz-1 x\ndefault 0\n")
	f.Fuzz(func(t *testing.T, cfg, env, legacy string) {
		inspectBoot(map[string]string{"boot/grub/grub.cfg": cfg, "boot/grub/grubenv": env, "boot/grub/menu.lst": legacy,
			"boot/extlinux/extlinux.conf": legacy, "boot/loader/entries/x.conf": legacy, "boot/vmlinuz-1": legacy, "boot/config-1": env})
	})
}
