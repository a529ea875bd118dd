package lvm

import (
	"fmt"
	"strings"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// group is a volume group, as one text tells it.
type group struct {
	name   string
	id     string // with its dashes
	seqno  int64
	extent int64 // bytes
	config *section
	pvs    map[string]*member // by the name that the text has for it
	lvs    map[string]*logical
	order  []string // names of lvs
	// forked: there are two texts of one age, and none of them can be trusted.
	forked bool
}

// member is a physical volume of a group.
type member struct {
	name    string
	id      string // 32 characters
	hint    string // device file that it was last seen as
	start   int64  // byte of the first extent
	extents int64
	missing bool      // says the text
	device  *physical // nil when it is not there
}

// logical is a logical volume.
type logical struct {
	name     string
	id       string
	config   *section
	segments []segment
	visible  bool
	write    bool
	extents  int64
}

// segment is a run of extents of one type.
type segment struct {
	kind    string
	extents int64
	config  *section
}

// parseGroup reads a text of a volume group. What a device must have to hold it is
// checked where it is mapped.
func parseGroup(text []byte) (*group, error) {
	place := ondisk.At("lvm", "metadata text", ondisk.NoOffset)
	root, err := parseText(text)
	if err != nil {
		return nil, err
	}
	if n := root.numberOr("version", 1); n != 1 {
		return nil, place.In("version").Unsupported("%d", n)
	}
	if len(root.order) == 0 {
		return nil, place.Corrupt("names no volume group")
	}
	g := &group{name: root.order[0], pvs: map[string]*member{}, lvs: map[string]*logical{}}
	g.config = root.sections[g.name]
	g.id, g.seqno = g.config.string("id"), g.config.number("seqno")
	if !isName(g.name) {
		return nil, place.Corrupt("%q is no name of a volume group", g.name)
	}
	if len(bareID(g.id)) != idLen || g.seqno < 0 {
		return nil, place.Corrupt("volume group %s: id %q, seqno %d", g.name, g.id, g.seqno)
	}
	if g.extent, err = bytesOf(g.config.number("extent_size"), sector); err != nil || g.extent == 0 {
		return nil, place.Corrupt("volume group %s: extent_size is wrong", g.name)
	}
	if err := g.readMembers(place); err != nil {
		return nil, err
	}
	return g, g.readVolumes(place)
}

func (g *group) readMembers(place ondisk.Place) error {
	all := g.config.child("physical_volumes")
	ids := map[string]bool{}
	for _, name := range all.order {
		c := all.sections[name]
		m := &member{name: name, id: bareID(c.string("id")), hint: c.string("device"), missing: c.flag("status", "MISSING")}
		var err error
		if m.start, err = bytesOf(c.number("pe_start"), sector); err != nil {
			return place.Corrupt("physical volume %s: pe_start is wrong", name)
		}
		m.extents = c.number("pe_count")
		if _, err := bytesOf(m.extents, g.extent); err != nil || len(m.id) != idLen || ids[m.id] {
			return place.Corrupt("physical volume %s: id %q, pe_count %d", name, m.id, m.extents)
		}
		ids[m.id] = true
		g.pvs[name] = m
	}
	return nil
}

func (g *group) readVolumes(place ondisk.Place) error {
	all := g.config.child("logical_volumes")
	for _, name := range all.order {
		c := all.sections[name]
		lv := &logical{name: name, id: c.string("id"), config: c, visible: c.flag("status", "VISIBLE"), write: c.flag("status", "WRITE")}
		if !isName(name) || g.pvs[name] != nil {
			return place.Corrupt("%q is no name of a logical volume", name)
		}
		for i := range c.number("segment_count") {
			s, ok := c.sections[fmt.Sprintf("segment%d", i+1)]
			if !ok {
				return place.Corrupt("%s: segment %d is not there", name, i+1)
			}
			n := s.number("extent_count")
			if n <= 0 || s.number("start_extent") != lv.extents {
				return place.Corrupt("%s: segment %d begins at extent %d, not %d, and has %d", name, i+1, s.number("start_extent"), lv.extents, n)
			}
			kind, _, _ := strings.Cut(s.string("type"), "+")
			lv.segments = append(lv.segments, segment{kind: kind, extents: n, config: s})
			if lv.extents += n; lv.extents < 0 {
				return place.Corrupt("%s has too many extents", name)
			}
		}
		if _, err := bytesOf(lv.extents, g.extent); err != nil {
			return place.Corrupt("%s has %d extents", name, lv.extents)
		}
		g.lvs[name] = lv
		g.order = append(g.order, name)
	}
	return nil
}

// bytesOf is n units of so many bytes; n is negative where a number was missing.
func bytesOf(n, unit int64) (int64, error) {
	b, ok := ondisk.MulOK(n, unit)
	if !ok {
		return 0, ondisk.Because(ondisk.ErrCorrupt, "%d times %d bytes", n, unit)
	}
	return b, nil
}

// isName reports whether s may name a group or a volume: lvm(8), "VALID NAMES".
func isName(s string) bool {
	if s == "" || s == "." || s == ".." || s[0] == '-' || len(s) > 127 {
		return false
	}
	return strings.IndexFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("+_.-", r))
	}) < 0
}

// bareID is an id without its dashes.
func bareID(id string) string { return strings.ReplaceAll(id, "-", "") }

// dashedID is the text form of a bare id of 32 characters.
func dashedID(id string) string {
	return strings.Join([]string{id[:6], id[6:10], id[10:14], id[14:18], id[18:22], id[22:26], id[26:]}, "-")
}
