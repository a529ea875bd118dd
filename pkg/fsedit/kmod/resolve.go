package kmod

import (
	"io/fs"
	"slices"
	"strings"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// Resolve finds the modules that modprobe loads for a name or an alias, such as
// a device's modalias: the module of that name, else those whose alias matches,
// by priority. It is empty for what the kernel holds itself and for unknown names.
func (t *Tree) Resolve(name string) []string {
	if strings.IndexByte(name, '/') < 0 {
		if m := t.byName[strings.ReplaceAll(name, "-", "_")]; m != nil {
			return []string{m.Name}
		}
	}
	alias := NormalAlias(name)
	if strings.HasPrefix(alias, "symbol:") {
		return t.exact(alias)
	}
	best := map[string]int{}
	var found []string
	for _, a := range t.aliases {
		if !match(NormalAlias(a.Pattern), alias) {
			continue
		}
		if _, again := best[a.Module]; !again {
			best[a.Module] = rankOf(t.rank, a.Module)
			found = append(found, a.Module)
		}
	}
	sortStable(found, best)
	return found
}

func (t *Tree) exact(symbol string) []string {
	for _, s := range t.symbols {
		if NormalAlias(s.Pattern) == symbol {
			return []string{s.Module}
		}
	}
	return nil
}

// Closure is what must be loaded for the named modules or aliases, in the order
// of loading: before each module its soft dependencies "pre" and all that it
// needs, behind it those "post". Soft dependencies that do not exist, and what
// the kernel holds itself, are left out. A name that is neither a module, nor
// built in, nor an alias is fs.ErrNotExist.
func (t *Tree) Closure(names ...string) ([]Module, error) {
	w := walk{t: t, asked: map[string]bool{}, done: map[string]bool{}}
	for _, name := range names {
		found := t.Resolve(name)
		if len(found) == 0 && !t.knows(name) {
			return nil, ondisk.At("kmod", "module", ondisk.NoOffset).In("%s", name).Wrap(fs.ErrNotExist)
		}
		for _, n := range found {
			if err := w.module(n); err != nil {
				return nil, err
			}
		}
	}
	return w.order, nil
}

// knows reports whether the kernel answers to the name without a module.
func (t *Tree) knows(name string) bool {
	if t.Builtin(name) {
		return true
	}
	for _, a := range t.builtinAliases {
		if match(NormalAlias(a.Pattern), NormalAlias(name)) {
			return true
		}
	}
	return false
}

// walk collects a closure. asked guards against circles of soft dependencies.
type walk struct {
	t     *Tree
	asked map[string]bool
	done  map[string]bool
	order []Module
}

// module adds a module with all that it needs.
func (w *walk) module(name string) error {
	m := w.t.byName[Name(name)]
	if m == nil || w.asked[m.Name] {
		return nil
	}
	w.asked[m.Name] = true
	for i := len(m.Deps) - 1; i >= 0; i-- {
		dep := w.t.byName[Name(m.Deps[i])]
		if dep == nil {
			return ondisk.At("kmod", "modules.dep", ondisk.NoOffset).In("%s", m.Name).Corrupt("needs %s, which has no record", m.Deps[i])
		}
		if err := w.withSoftdeps(dep); err != nil {
			return err
		}
	}
	return w.withSoftdeps(m)
}

// withSoftdeps adds a module whose needs are met, between its soft ones.
func (w *walk) withSoftdeps(m *Module) error {
	if w.done[m.Name] {
		return nil
	}
	w.done[m.Name] = true
	pre, post := w.t.softdepsOf(m.Name)
	if err := w.soft(pre); err != nil {
		return err
	}
	w.order = append(w.order, *m)
	return w.soft(post)
}

func (w *walk) soft(names []string) error {
	for _, name := range names {
		for _, found := range w.t.Resolve(name) {
			if err := w.module(found); err != nil {
				return err
			}
		}
	}
	return nil
}

// softdepsOf are those of the first record, the only one that modprobe obeys.
func (t *Tree) softdepsOf(name string) (pre, post []string) {
	for _, s := range t.Softdeps {
		if Name(s.Module) == name {
			return s.Pre, s.Post
		}
	}
	return nil, nil
}

func sortStable(names []string, rank map[string]int) {
	slices.SortStableFunc(names, func(a, b string) int { return rank[a] - rank[b] })
}
