package kmod

import (
	"slices"
	"strings"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// Merge adds modules of root, and their aliases, symbols and soft dependencies,
// to base: typically those of a guest's disk to those of its initramfs. The
// names must be closed: what they need is among them or in base. Modules of
// base keep their records; those added get the path of an unpacked file, in the
// style of base's paths. Neither tree changes. base may be empty.
func Merge(base, root *Tree, names []string) (*Tree, error) {
	out := &Tree{builtin: base.builtin, builtinAliases: base.builtinAliases}
	added, err := pick(base, root, names)
	if err != nil {
		return nil, err
	}
	all := append(slices.Clone(base.modules), added...)
	slices.SortStableFunc(all, func(a, b *Module) int { return rankOf(root.rank, a.Name) - rankOf(root.rank, b.Name) })
	for _, m := range all {
		out.add(m)
	}
	for _, m := range added {
		if err := relink(out, m); err != nil {
			return nil, err
		}
	}
	isNew := map[string]bool{}
	for _, m := range added {
		isNew[m.Name] = true
	}
	out.aliases = mergeAliases(base.aliases, root.aliases, isNew, out.rank)
	out.symbols = mergeAliases(base.symbols, root.symbols, isNew, out.rank)
	out.Softdeps = slices.Clone(base.Softdeps)
	for _, s := range root.Softdeps {
		if isNew[Name(s.Module)] {
			out.Softdeps = append(out.Softdeps, s)
		}
	}
	return out, nil
}

// pick copies the named modules that base lacks from root.
func pick(base, root *Tree, names []string) ([]*Module, error) {
	var added []*Module
	dir := base.root()
	for _, name := range names {
		name = Name(name)
		if base.byName[name] != nil || slices.ContainsFunc(added, func(m *Module) bool { return m.Name == name }) {
			continue
		}
		m := root.byName[name]
		if m == nil {
			return nil, ondisk.At("kmod", "modules.dep", ondisk.NoOffset).In("%s", name).Corrupt("no such module")
		}
		added = append(added, &Module{Name: name, Path: restyle(m.Path, root.root(), dir), Deps: m.Deps})
	}
	return added, nil
}

// restyle is the path of an unpacked module below another directory, or
// relative to it.
func restyle(p, from, to string) string {
	p = strings.TrimPrefix(PlainPath(p), from+"/")
	if to == "" {
		return p
	}
	return to + "/" + p
}

// relink points what m needs at where it lies in the tree.
func relink(t *Tree, m *Module) error {
	deps := make([]string, len(m.Deps))
	for i, dep := range m.Deps {
		there := t.byName[Name(dep)]
		if there == nil {
			return ondisk.At("kmod", "modules.dep", ondisk.NoOffset).In("%s", m.Name).Corrupt("needs %s, which is not added with it", dep)
		}
		deps[i] = there.Path
	}
	m.Deps = deps
	return nil
}

func mergeAliases(base, root []Alias, isNew map[string]bool, rank map[string]int) []Alias {
	all := slices.Clone(base)
	for _, a := range root {
		if isNew[Name(a.Module)] {
			all = append(all, a)
		}
	}
	slices.SortStableFunc(all, func(a, b Alias) int { return rankOf(rank, a.Module) - rankOf(rank, b.Module) })
	return all
}
