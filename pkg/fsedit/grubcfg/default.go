package grubcfg

import (
	"slices"
	"strconv"
	"strings"
)

// Assignment is a place where a script gives a variable a value, by "set" or
// without it.
type Assignment struct {
	Command *Command
	Word    Word   // the whole word, name=value
	Value   string // references as they are
}

// Assignments are those of one variable, in the order of the file.
func (c *Config) Assignments(name string) (all []Assignment) {
	for _, cmd := range c.commands {
		words := cmd.Words
		if words[0].Raw == "set" {
			words = words[1:]
		} else if len(words) > 1 {
			continue
		}
		for _, w := range words {
			if key, value, ok := strings.Cut(w.Text, "="); ok && key == name {
				all = append(all, Assignment{cmd, w, value})
			}
		}
	}
	return all
}

// references to variables of the environment block that choose an entry.
var (
	nextRefs  = []string{"${next_entry}", "$next_entry"}
	savedRefs = []string{"${saved_entry}", "$saved_entry"}
)

// DefaultValue is what chooses the entry to boot: next_entry of the environment
// where the script honours it, else the last value that the script sets, else
// "0". env may be nil.
func (c *Config) DefaultValue(env *Env) string {
	value := ""
	for _, a := range c.Assignments("default") {
		switch {
		case slices.Contains(nextRefs, a.Value):
			if next, ok := env.Get("next_entry"); ok && next != "" {
				return next
			}
		case slices.Contains(savedRefs, a.Value):
			value, _ = env.Get("saved_entry")
		case !a.Word.Expands:
			value = a.Value
		}
	}
	if value == "" {
		return "0"
	}
	return value
}

// Default is the entry that boots when nobody chooses; nil in an empty menu.
func (c *Config) Default(env *Env) *Entry { return c.Find(c.DefaultValue(env)) }

// Find resolves a number from 0, an id, a title, or a path of them joined by
// ">", in which ">>" stands for ">" itself. As in GRUB, an unknown name is the
// first entry, and a submenu boots the first of its own.
func (c *Config) Find(name string) *Entry {
	steps := splitPath(name)
	list := c.menu
	for len(list) > 0 {
		step := "0"
		if len(steps) > 0 {
			step, steps = steps[0], steps[1:]
		}
		e := pick(list, step)
		if !e.Submenu {
			return e
		}
		list = e.Entries
	}
	return nil
}

// pick finds an entry of one menu, or takes its first.
func pick(list []*Entry, step string) *Entry {
	if n, err := strconv.Atoi(step); err == nil {
		if n >= 0 && n < len(list) {
			return list[n]
		}
		return list[0]
	}
	for _, e := range list {
		if e.ID != "" && e.ID == step || e.Title == step {
			return e
		}
	}
	return list[0]
}

func splitPath(name string) (steps []string) {
	var step strings.Builder
	for i := 0; i < len(name); i++ {
		if name[i] != '>' {
			step.WriteByte(name[i])
			continue
		}
		if i+1 < len(name) && name[i+1] == '>' {
			step.WriteByte('>')
			i++
			continue
		}
		steps = append(steps, step.String())
		step.Reset()
	}
	return append(steps, step.String())
}
