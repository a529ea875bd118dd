package guest

import (
	"fmt"
	"path"
	"strings"

	"github.com/vmconv/vmconv/pkg/fsedit/grubcfg"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// grub2 reads the menu of a grub.cfg and which entry of it is the default; where
// the script reads entries of the Boot Loader Specification, those.
func (r *entryReader) grub2(p, env string) {
	cfg, err := grubcfg.Parse([]byte(r.text(p)), ondisk.Limits{Text: r.limit})
	if err != nil {
		r.warnings = append(r.warnings, fmt.Sprintf("%s: %v", p, err))
		return
	}
	block := r.grubEnv(env)
	for range cfg.Commands("blscfg") {
		r.grubSpec(cfg, block)
		return
	}
	chosen := cfg.Default(block)
	for e := range cfg.Entries() {
		if !e.Submenu {
			out := r.grubEntry(e)
			out.isDefault = e == chosen
			r.add(out)
		}
	}
}

func (r *entryReader) grubEnv(p string) *grubcfg.Env {
	if p == "" {
		return nil
	}
	env, err := grubcfg.ParseEnv([]byte(r.text(p)))
	if err != nil {
		r.warnings = append(r.warnings, fmt.Sprintf("%s: %v", p, err))
		return nil
	}
	return env
}

// grubEntry is what an entry starts, by itself or as the guest of a Xen host.
func (r *entryReader) grubEntry(e *grubcfg.Entry) bootEntry {
	out := bootEntry{title: e.Title, id: e.ID}
	if linux := e.Linux(); linux != nil && len(linux.Args()) > 0 {
		out.kernel = r.onDisk(linux.Args()[0].Text)
		out.args = grubcfg.KernelLine(linux.Args()[1:])
	}
	for _, f := range e.Initrds() {
		out.initrds = append(out.initrds, r.onDisk(f))
	}
	for _, c := range e.Commands {
		if name := c.Name(); name == "module" || name == "module2" {
			r.grubModule(&out, c.Args())
		}
	}
	return out
}

// grubModule is a kernel or an initramfs that the Xen hypervisor starts.
func (r *entryReader) grubModule(out *bootEntry, args []grubcfg.Word) {
	for len(args) > 0 && strings.HasPrefix(args[0].Text, "--") {
		args = args[1:]
	}
	switch {
	case len(args) == 0:
	case imageName.MatchString(path.Base(args[0].Text)):
		out.kernel, out.args = r.onDisk(args[0].Text), grubcfg.KernelLine(args[1:])
	default:
		out.initrds = append(out.initrds, r.onDisk(args[0].Text))
	}
}

// grubSpec reads the entries that blscfg shows, with the variables that the
// environment has and, where it lacks them, the script.
func (r *entryReader) grubSpec(cfg *grubcfg.Config, env *grubcfg.Env) {
	vars := map[string]string{}
	for _, name := range []string{"kernelopts", "tuned_params", "tuned_initrd"} {
		for _, a := range cfg.Assignments(name) {
			vars[name] = a.Value
		}
	}
	for _, name := range env.Names() {
		vars[name], _ = env.Get(name)
	}
	for _, dir := range []string{"/boot/loader/entries", "/loader/entries"} {
		r.loaderEntries(dir, cfg.DefaultValue(env), vars)
	}
}
