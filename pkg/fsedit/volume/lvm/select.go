package lvm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/vmconv/vmconv/pkg/fsedit/volume"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// gathered is what the labels and areas of all devices hold.
type gathered struct {
	devices []physical
	groups  []*group // of each id the text with the highest seqno
	texts   map[string][]byte
}

// gather reads all devices. Of several copies of a text the newest good one counts.
func gather(ctx context.Context, devs []blockdev.Device, opts volume.Options) (*gathered, error) {
	found := &gathered{texts: map[string][]byte{}}
	for i, dev := range devs {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		pv, err := readLabel(dev)
		if failing(err) {
			return nil, err
		}
		if err != nil {
			opts.Notice(err.Error())
			continue
		}
		pv.index = i
		found.devices = append(found.devices, pv)
		for _, a := range pv.mdas {
			text, err := pv.readText(a, opts.Limits.Text)
			if err == nil && text != nil {
				err = found.add(text)
			}
			if failing(err) {
				return nil, err
			}
			if err != nil {
				opts.Notice(fmt.Sprintf("physical volume %s: a copy of the metadata is not used: %v", dashed(pv.id), err))
			}
		}
	}
	return found, nil
}

// add takes one copy of the text of a group.
func (f *gathered) add(text []byte) error {
	text = bytes.TrimRight(text, "\x00\n")
	for _, g := range f.groups {
		if bytes.Equal(f.texts[g.id], text) {
			return nil
		}
	}
	g, err := parseGroup(text)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(f.groups, func(o *group) bool { return o.id == g.id })
	switch {
	case i < 0:
		f.groups = append(f.groups, g)
	case f.groups[i].seqno > g.seqno:
		return nil
	case f.groups[i].seqno == g.seqno:
		f.groups[i].forked = true
		return nil
	default:
		f.groups[i] = g
	}
	f.texts[g.id] = text
	return nil
}

// place finds the devices of a group, and reports those that are missing.
func (f *gathered) place(g *group, notice func(string)) {
	for _, name := range g.config.child("physical_volumes").order {
		m := g.pvs[name]
		var at []*physical
		for i := range f.devices {
			if f.devices[i].id == m.id {
				at = append(at, &f.devices[i])
			}
		}
		switch {
		case len(at) == 1:
			m.device = at[0]
		case len(at) > 1:
			notice(fmt.Sprintf("volume group %s: there are %d copies of physical volume %s: none is used", g.name, len(at), dashedID(m.id)))
		default:
			notice(fmt.Sprintf("volume group %s: physical volume %s (%s, last seen as %q) is missing", g.name, dashedID(m.id), name, m.hint))
		}
	}
}

// dashed is dashedID for what may be anything.
func dashed(id string) string {
	if len(id) != idLen {
		return fmt.Sprintf("%q", id)
	}
	return dashedID(id)
}

// failing tells a device that cannot be read from one that cannot be believed.
func failing(err error) bool {
	return err != nil && !errors.Is(err, ondisk.ErrFormat) && !errors.Is(err, ondisk.ErrCorrupt) &&
		!errors.Is(err, ondisk.ErrUnsupported) && !errors.Is(err, ondisk.ErrTooBig)
}
