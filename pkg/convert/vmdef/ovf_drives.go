package vmdef

import (
	"fmt"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// ovfBus is how a bus is written: importers know these only.
type ovfBus struct {
	resource int
	title    string
	units    int // of one controller
	subtypes map[string]string
}

// ovfBuses has the subtypes by model. VMware takes AHCI for its own
// vmware.sata.ahci, which VirtualBox refuses. An IDE controller has no subtype:
// VMware complains about PIIX4, and the others take what comes.
var ovfBuses = map[string]ovfBus{
	"sata": {resourceStorage, "SATA Controller", 30, map[string]string{"": "AHCI", "ahci": "AHCI"}},
	"nvme": {resourceStorage, "NVME Controller", 15, map[string]string{"": "vmware.nvme.controller"}},
	"ide":  {resourceIDE, "IDE Controller", 2, map[string]string{"": "", "piix3": "", "piix4": ""}},
	"scsi": {resourceSCSI, "SCSI Controller", 16, map[string]string{
		"": "lsilogic", "lsilogic": "lsilogic", "lsisas1068": "lsilogicsas", "pvscsi": "VirtualSCSI", "buslogic": "buslogic",
	}},
}

// scsiSelf is the unit that a SCSI controller has itself.
const scsiSelf = 7

// ovfPlace is where a drive goes. One that names no bus goes to SATA, which every
// hypervisor has; so does a drive for media that importers have no bus for.
func ovfPlace(p Place, media bool) Place {
	_, known := ovfBuses[p.Bus].subtypes[p.Model]
	if p.Bus == "" || media && !known {
		return Place{Bus: "sata", Unit: p.Unit}
	}
	return p
}

// controllerOf is what the drives on one controller have in common.
func controllerOf(p Place) Place {
	return Place{Bus: p.Bus, Model: ovfBuses[p.Bus].subtypes[p.Model], Controller: p.Controller}
}

// addDrives adds the controllers, then the disks, then drives for CDs, which stay
// empty. Floppy drives are left out: no importer agrees with another on them.
func (w *ovfWriter) addDrives() error {
	var places []Place
	for _, d := range w.vm.Disks {
		places = append(places, ovfPlace(d.Place, false))
	}
	for _, r := range w.vm.Removables {
		if r.Kind == "cdrom" {
			places = append(places, ovfPlace(r.Place, true))
		}
	}
	if err := w.addControllers(places); err != nil {
		return err
	}
	for i, p := range places {
		a, err := w.attach(p)
		if err != nil {
			return err
		}
		if i < len(w.vm.Disks) {
			w.add(ovfItem{
				AddressOnParent: &a.unit, Description: "Hard disk", ElementName: fmt.Sprintf("Hard Disk %d", i+1),
				HostResource: fmt.Sprintf("ovf:/disk/vmdisk%d", i+1), Parent: a.controller, ResourceType: resourceDisk,
			})
			continue
		}
		w.add(ovfItem{
			Required: "false", AddressOnParent: &a.unit, AutomaticAllocation: "false",
			ElementName: fmt.Sprintf("CD/DVD Drive %d", i-len(w.vm.Disks)+1), Parent: a.controller, ResourceType: resourceCD,
		})
	}
	return nil
}

func (w *ovfWriter) addControllers(places []Place) error {
	perBus := map[string]int{}
	for _, p := range places {
		key := controllerOf(p)
		if w.controllers[key] != 0 {
			continue
		}
		bus := ovfBuses[p.Bus]
		if _, known := bus.subtypes[p.Model]; !known {
			return ondisk.At("ovf", "controller", ondisk.NoOffset).Unsupported("importers know no %s controller %s", short(p.Bus), short(p.Model))
		}
		number := perBus[p.Bus]
		perBus[p.Bus]++
		w.controllers[key] = w.add(ovfItem{
			Address: fmt.Sprint(number), Description: bus.title, ElementName: fmt.Sprintf("%s %d", bus.title, number),
			ResourceSubType: key.Model, ResourceType: bus.resource,
		})
	}
	return nil
}

// attach takes the unit that a drive names, or the next one that is free.
func (w *ovfWriter) attach(p Place) (attachment, error) {
	a := attachment{controller: w.controllers[controllerOf(p)], unit: max(p.Unit, 0)}
	for w.used[a] || p.Bus == "scsi" && a.unit == scsiSelf {
		a.unit++
	}
	if most := ovfBuses[p.Bus].units; a.unit >= most {
		return a, ondisk.At("ovf", "drive", ondisk.NoOffset).Unsupported("%s controller %d has %d places", p.Bus, p.Controller, most)
	}
	w.used[a] = true
	return a, nil
}
