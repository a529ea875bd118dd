package luks

import (
	"context"
	"fmt"
	"slices"

	"github.com/vmconv/vmconv/pkg/fsedit/volume"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// Mapper opens the encrypted volumes for which there is a key. It is a stateless
// value.
type Mapper struct{}

var _ volume.Mapper = Mapper{}

// Name is also the Kind of what it finds.
func (Mapper) Name() string { return "luks" }

// Probe is Sure of a header at the start, damaged or not. Of LUKS2 the second one
// may have survived what was put on the device later: that alone is Maybe.
func (Mapper) Probe(dev blockdev.Device) (ondisk.Match, error) {
	c, doubt, err := find(dev)
	switch {
	case failing(err):
		return ondisk.None, err
	case c != nil && doubt:
		return ondisk.Maybe, nil
	case c != nil || begins(dev):
		return ondisk.Sure, nil
	}
	return ondisk.None, nil
}

// begins reports whether dev begins as an encrypted volume does.
func begins(dev blockdev.Device) bool {
	var p [len(magicFirst)]byte
	return dev.Size() >= header2Len && ondisk.Full(dev, p[:], 0) == nil && string(p[:]) == magicFirst
}

// Map opens each of devs by itself, by the keys of opts. What stays locked is told
// by opts.Locked, and by a Notice.
func (Mapper) Map(ctx context.Context, devs []blockdev.Device, opts volume.Options) ([]volume.Volume, error) {
	opts.Limits = opts.Limits.OrDefault()
	if opts.Notice == nil {
		opts.Notice = func(string) {}
	}
	if opts.Locked == nil {
		opts.Locked = func(int, error) {}
	}
	var out []volume.Volume
	for i, dev := range devs {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		v, err := open(ctx, dev, i, opts)
		switch {
		case err == nil:
			out = append(out, v)
		case failing(err):
			return nil, err
		default:
			opts.Locked(i, err)
			opts.Notice(err.Error())
		}
	}
	return out, nil
}

// open is the volume inside member i.
func open(ctx context.Context, dev blockdev.Device, i int, opts volume.Options) (volume.Volume, error) {
	id := fmt.Sprintf("device %d", i)
	var names []string
	if i < len(opts.Members) {
		id, names = opts.Members[i].ID, opts.Members[i].Names
	}
	c, _, err := find(dev)
	if err == nil {
		err = c.reject
	}
	if err != nil {
		return volume.Volume{}, fmt.Errorf("%s: %w", id, err)
	}
	for _, n := range c.notes {
		opts.Notice(id + ": " + n)
	}
	if c.data.size > opts.Limits.VirtualSize {
		return volume.Volume{}, fmt.Errorf("%s: %w", id, ondisk.Because(ondisk.ErrTooBig, "%d bytes, more than %d", c.data.size, opts.Limits.VirtualSize))
	}
	o := opening{container: c, dev: dev, limits: opts.Limits}
	o.locked = volume.Locked{Kind: c.name(), ID: id, Names: names, UUID: c.uuid}
	// A cipher that is not known is told before anybody is asked for a key.
	if i := slices.IndexFunc(c.slots, func(s slot) bool { return s.bad == nil }); i >= 0 {
		if _, err := newSectors(c.data.cipher, make([]byte, c.slots[i].keyLen), c.data.sector); err != nil {
			return volume.Volume{}, fmt.Errorf("%v: %w", o.locked, err)
		}
	}
	key, err := o.key(ctx, opts.Keys)
	if err != nil {
		o.tellUntried(opts.Notice)
		return volume.Volume{}, err
	}
	cipher, err := newSectors(c.data.cipher, key, c.data.sector)
	if err != nil {
		return volume.Volume{}, fmt.Errorf("%v: %w", o.locked, err)
	}
	return c.volume(id, i, newDevice(dev, c.data, cipher)), nil
}

// volume is called as systemd-cryptsetup-generator(8) and udisks call it.
func (c *container) volume(id string, i int, dev *device) volume.Volume {
	name := "luks-" + c.uuid
	if c.uuid == "" {
		name = "luks-" + id
	}
	return volume.Volume{
		ID: name, Names: []string{"/dev/mapper/" + name, "/dev/disk/by-id/dm-name-" + name},
		Kind: "luks", Number: -1, Type: c.name(), UUID: c.uuid, Label: c.label, Len: dev.Size(),
		On: []int{i}, Spans: dev.spans(i), Device: dev.able(),
	}
}
