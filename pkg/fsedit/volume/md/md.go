package md

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/vmconv/vmconv/pkg/fsedit/volume"
	"github.com/vmconv/vmconv/pkg/fsedit/volume/assembly"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// Mapper finds the arrays that devices are members of. It is a stateless value.
type Mapper struct{}

var _ volume.Mapper = Mapper{}

func (Mapper) Name() string { return "md" }

// Probe is Sure of a good superblock, and Maybe of one at the end of dev that may
// belong to a partition which ends there: where there may be a table.
func (Mapper) Probe(dev blockdev.Device) (ondisk.Match, error) {
	s, err := find(dev)
	switch {
	case failing(err):
		return ondisk.None, err
	case err != nil:
		return ondisk.None, nil
	case !s.doubt:
		return ondisk.Sure, nil
	}
	var mark [2]byte
	if err := ondisk.Full(dev, mark[:], sector-2); err != nil {
		return ondisk.None, err
	}
	if mark == [2]byte{0x55, 0xaa} {
		return ondisk.Maybe, nil
	}
	return ondisk.Sure, nil
}

// Map returns the arrays on devs, in the order of their first members. One that
// cannot be read is a Notice that names it.
func (Mapper) Map(ctx context.Context, devs []blockdev.Device, opts volume.Options) ([]volume.Volume, error) {
	notice := opts.Notice
	if notice == nil {
		notice = func(string) {}
	}
	limits := opts.Limits.OrDefault()
	sets := map[string][]member{}
	var order []string
	for i, dev := range devs {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		s, err := find(dev)
		if failing(err) {
			return nil, err
		}
		if err != nil {
			notice(err.Error())
			continue
		}
		if sets[s.uuid] == nil {
			order = append(order, s.uuid)
		}
		sets[s.uuid] = append(sets[s.uuid], member{super: s, dev: dev, index: i})
	}
	var out []volume.Volume
	taken := map[string]bool{}
	for _, uuid := range order {
		a := newArray(sets[uuid])
		p, err := a.piece()
		id, names := a.nodes()
		for _, n := range a.notes {
			notice(fmt.Sprintf("%s: %s", id, n))
		}
		if err == nil && p.Size() > limits.VirtualSize {
			err = ondisk.Because(ondisk.ErrTooBig, "%d bytes, more than %d", p.Size(), limits.VirtualSize)
		}
		if err != nil {
			notice(fmt.Sprintf("%s (%s) is left out: %v", id, uuid, err))
			continue
		}
		if taken[id] {
			notice(fmt.Sprintf("several arrays are called %s", id))
			id, names = "md/"+uuid, nil
		}
		taken[id] = true
		out = append(out, a.volume(id, names, p))
	}
	return out, nil
}

func (a *array) volume(id string, names []string, p assembly.Piece) volume.Volume {
	v := volume.Volume{
		ID: id, Names: append(names, "/dev/disk/by-id/md-uuid-"+a.uuid), Kind: "md", Number: -1, Type: levelName(a.level),
		UUID: a.uuid, Label: a.name, Len: p.Size(), Whole: true, Spans: assembly.Spans(p), Device: assembly.Device(p),
	}
	for _, m := range a.members {
		v.On = append(v.On, m.index)
	}
	return v
}

// nodes are the name of the array and its device files. A name is "host:name"; one
// that is a number is that of /dev/mdN.
func (a *array) nodes() (id string, names []string) {
	if a.minor >= 0 {
		return fmt.Sprintf("md%d", a.minor), []string{fmt.Sprintf("/dev/md%d", a.minor), fmt.Sprintf("/dev/md/%d", a.minor)}
	}
	short := a.name[strings.Index(a.name, ":")+1:]
	if !isName(short) {
		return "md/" + a.uuid, nil
	}
	names = []string{"/dev/md/" + short, "/dev/disk/by-id/md-name-" + a.name}
	if n, err := strconv.ParseUint(short, 10, 16); err == nil && strconv.FormatUint(n, 10) == short {
		return "md" + short, append(names, "/dev/md"+short)
	}
	return "md/" + short, names
}

// isName reports whether s is fit for a device file.
func isName(s string) bool {
	return s != "" && s != "." && s != ".." && strings.IndexFunc(s, func(r rune) bool { return r <= ' ' || r == '/' || r >= 0x7f }) < 0
}

func levelName(level int) string {
	switch level {
	case levelLinear:
		return "linear"
	case levelStripe, levelMirror, 4, 5, 6, levelTen:
		return fmt.Sprintf("raid%d", level)
	}
	return fmt.Sprintf("level %d", level)
}

// failing tells a device that cannot be read from one that cannot be believed.
func failing(err error) bool {
	return err != nil && !errors.Is(err, ondisk.ErrFormat) && !errors.Is(err, ondisk.ErrCorrupt) &&
		!errors.Is(err, ondisk.ErrUnsupported) && !errors.Is(err, ondisk.ErrTooBig)
}

// worse is the error that says more: damage, rather than that nothing is there.
func worse(a, b error) error {
	if a == nil || errors.Is(a, ondisk.ErrFormat) && b != nil {
		return b
	}
	return a
}
