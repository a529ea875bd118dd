package edit

import (
	"path"
	"slices"
	"strings"

	"github.com/vmconv/vmconv/pkg/fsedit/grubcfg"
	"github.com/vmconv/vmconv/pkg/fsedit/guest"
)

// offXen has the menu start Linux where it starts what only Xen runs: a system
// that was the host of others, or one with a kernel of its own for Xen. It
// returns the way through the menu to the entry that starts instead; "" when
// nothing is to be done.
func offXen(config *grubcfg.Config, env *grubcfg.Env, kernels []guest.Kernel) string {
	if e := config.Default(env); e == nil || !needsXen(e, kernels) {
		return ""
	}
	for e := range config.Entries() {
		if !e.Submenu && e.Linux() != nil && !needsXen(e, kernels) {
			way := e.Path()
			for i, title := range way {
				way[i] = strings.ReplaceAll(title, ">", ">>")
			}
			return strings.Join(way, ">")
		}
	}
	return ""
}

// needsXen: the entry loads the hypervisor, a multiboot kernel with Linux as its
// module, or a kernel that runs on nothing else.
func needsXen(e *grubcfg.Entry, kernels []guest.Kernel) bool {
	linux := e.Linux()
	if linux == nil {
		return slices.ContainsFunc(e.Commands, func(c *grubcfg.Command) bool {
			return slices.Contains([]string{"multiboot", "multiboot2", "xen_hypervisor"}, c.Name())
		})
	}
	image := path.Base(linux.Words[1].Text)
	return slices.ContainsFunc(kernels, func(k guest.Kernel) bool {
		return k.XenOnly && path.Base(k.Image) == image
	})
}

// defaultEntry moves the default off Xen: in the menu itself, and where the menu
// takes it from the environment, there.
func (e grub2) defaultEntry(s *Staged, job Job, l guest.Loader) (string, error) {
	var env *grubcfg.Env
	if l.Env != "" && guest.IsFile(s, l.Env) {
		block, err := guest.ReadFile(s, l.Env, job.Limits.OrDefault().Text)
		if err != nil {
			return "", err
		}
		env, _ = grubcfg.ParseEnv(block) // one that cannot be read is an empty one to GRUB too
	}
	target, plain := "", false
	why := e.why("Linux starts, and not Xen", true)
	err := e.edited(s, job, l.Config, why, func(text []byte) ([]byte, error) {
		config, err := grubcfg.Parse(text, job.Limits)
		if err != nil {
			return nil, err
		}
		if target = offXen(config, env, job.Facts.Kernels); target == "" {
			return text, nil
		}
		var edits []grubcfg.Edit
		for _, a := range config.Assignments("default") {
			if !a.Word.Expands {
				plain = true
				edits = append(edits, grubcfg.Edit{Start: a.Word.Start, End: a.Word.End, Raw: grubcfg.NewWord("default=" + target).Raw})
			}
		}
		return config.Replace(edits...), nil
	})
	if err != nil || target == "" || env == nil {
		return target, err
	}
	if _, ok := env.Get("saved_entry"); !ok && plain {
		return target, nil
	}
	return target, e.edited(s, job, l.Env, why, func([]byte) ([]byte, error) {
		err := env.Set("saved_entry", target)
		return env.Bytes(), err
	})
}
