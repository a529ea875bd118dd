package guest

import (
	"path"
	"slices"
	"strings"

	"github.com/vmconv/vmconv/pkg/fsedit/efi"
)

// loaderFile is where a boot loader keeps its configuration.
type loaderFile struct {
	kind, config string
	inputs       []string
	read         func(r *entryReader, config, env string)
}

// Candidates for the configuration of every loader; what exists counts.
var loaderFiles = []loaderFile{
	{"grub2", "/boot/grub/grub.cfg", grubInputs, (*entryReader).grub2},
	{"grub2", "/boot/grub2/grub.cfg", grubInputs, (*entryReader).grub2},
	{"grub-legacy", "/boot/grub/menu.lst", nil, func(r *entryReader, p, _ string) { r.legacy(p) }},
	{"grub-legacy", "/boot/grub/grub.conf", nil, func(r *entryReader, p, _ string) { r.legacy(p) }},
	{"extlinux", "/boot/extlinux/extlinux.conf", []string{"/etc/default/extlinux", "/etc/update-extlinux.conf", "/etc/default/u-boot"}, extlinuxFile},
	{"extlinux", "/boot/extlinux.conf", []string{"/etc/update-extlinux.conf"}, extlinuxFile},
	{"extlinux", "/extlinux.conf", nil, extlinuxFile},
	{"syslinux", "/boot/syslinux/syslinux.cfg", nil, extlinuxFile},
	{"systemd-boot", "/boot/loader/loader.conf", bootInputs, bootEntries},
	{"systemd-boot", "/boot/efi/loader/loader.conf", bootInputs, bootEntries},
	{"systemd-boot", "/efi/loader/loader.conf", bootInputs, bootEntries},
	{"zipl", "/etc/zipl.conf", nil, nil},
	{"uboot", "/boot/boot.scr", nil, nil},
	{"uboot", "/boot/uEnv.txt", nil, nil},
	{"uboot", "/boot/armbianEnv.txt", nil, nil},
	{"lilo", "/etc/lilo.conf", nil, nil},
}

var (
	grubInputs = []string{"/etc/default/grub", "/etc/default/grub.d", "/etc/sysconfig/grub", "/etc/sysconfig/bootloader", "/etc/grub.d/40_custom", "/etc/kernel/cmdline"}
	bootInputs = []string{"/etc/kernel/cmdline", "/etc/kernel/install.conf"}
)

func extlinuxFile(r *entryReader, p, _ string) { r.extlinux(p) }

func bootEntries(r *entryReader, p, _ string) {
	name := ""
	for _, line := range splitLines(r.text(p)) {
		if key, rest := directive(line); key == "default" {
			name = rest
		}
	}
	dir := path.Dir(p)
	r.loaderEntries(dir+"/entries", name, nil)
	if dir != "/boot/loader" { // of the extended partition (systemd-boot(7))
		r.loaderEntries("/boot/loader/entries", name, nil)
	}
}

// findLoaders finds every loader whose configuration is there, with its entries.
func findLoaders(v View, limit int64, boot bootCode, esps []ESP) (loaders []Loader, entries []bootEntry, warnings []string) {
	loaders = []Loader{}
	r := &entryReader{view: v, limit: limit}
	started, more := startedByUEFI(esps)
	seen := map[string]bool{}
	for _, f := range append(more, loaderFiles...) {
		real, err := v.Realpath(f.config)
		if err != nil || !IsFile(v, real) || seen[real] || f.kind == "lilo" && boot.loader != "lilo" {
			continue
		}
		seen[real] = true
		l := Loader{Kind: f.kind, Config: real, Inputs: existing(v, f.inputs), Installed: f.kind == boot.loader || started[real]}
		if env := path.Dir(real) + "/grubenv"; f.kind == "grub2" && IsFile(v, env) {
			l.Env, _ = v.Realpath(env)
		}
		if f.read != nil {
			f.read(r, real, l.Env)
		}
		loaders = append(loaders, l)
	}
	return loaders, preferDefault(r.entries), r.warnings
}

// startedByUEFI are the configurations that the programs of EFI system partitions
// lead to; more are those among them that a loader keeps on the partition itself.
func startedByUEFI(esps []ESP) (started map[string]bool, more []loaderFile) {
	started = map[string]bool{}
	for _, e := range esps {
		for _, p := range e.Programs {
			if len(p.Chain) == 0 || p.Broken != "" {
				continue
			}
			last := p.Chain[len(p.Chain)-1]
			if p.Kind == efi.SystemdBoot {
				last = e.Path + "/loader/loader.conf"
				more = append(more, loaderFile{"systemd-boot", last, bootInputs, bootEntries})
			} else if strings.HasSuffix(last, ".cfg") {
				more = append(more, loaderFile{"grub2", last, grubInputs, (*entryReader).grub2})
			}
			started[last] = true
		}
	}
	return started, more
}

// preferDefault keeps one default of several loaders: the first one's, since the
// table is in the order of likelihood.
func preferDefault(entries []bootEntry) []bootEntry {
	if i := slices.IndexFunc(entries, func(e bootEntry) bool { return e.isDefault }); i >= 0 {
		for j := range entries[i+1:] {
			entries[i+1+j].isDefault = false
		}
	}
	return entries
}

func existing(v View, paths []string) []string {
	var out []string
	for _, p := range paths {
		if Exists(v, p) {
			out = append(out, p)
		}
	}
	return out
}
