package vmdef

import "encoding/xml"

// The elements that [VM.OVF] writes, in the order that the schemas of DSP8023 and
// of CIM_ResourceAllocationSettingData prescribe. The prefixes are written out:
// encoding/xml invents its own, and importers compare text.

type ovfEnvelope struct {
	XMLName    xml.Name       `xml:"Envelope"`
	Default    string         `xml:"xmlns,attr"`
	OVF        string         `xml:"xmlns:ovf,attr"`
	RASD       string         `xml:"xmlns:rasd,attr"`
	VMW        string         `xml:"xmlns:vmw,attr"`
	VSSD       string         `xml:"xmlns:vssd,attr"`
	References ovfReferences  `xml:"References"`
	Disks      ovfDiskList    `xml:"DiskSection"`
	Networks   ovfNetworks    `xml:"NetworkSection"`
	System     ovfVirtualBody `xml:"VirtualSystem"`
}

type ovfReferences struct {
	Files []ovfFile `xml:"File"`
}

type ovfFile struct {
	Href string `xml:"ovf:href,attr"`
	ID   string `xml:"ovf:id,attr"`
	Size int64  `xml:"ovf:size,attr,omitempty"`
}

type ovfDiskList struct {
	Info  string        `xml:"Info"`
	Disks []ovfDiskLine `xml:"Disk"`
}

type ovfDiskLine struct {
	Capacity  int64  `xml:"ovf:capacity,attr"`
	ID        string `xml:"ovf:diskId,attr"`
	FileRef   string `xml:"ovf:fileRef,attr,omitempty"`
	Format    string `xml:"ovf:format,attr"`
	Populated int64  `xml:"ovf:populatedSize,attr,omitempty"`
}

type ovfNetworks struct {
	Info     string       `xml:"Info"`
	Networks []ovfNetwork `xml:"Network"`
}

type ovfNetwork struct {
	Name        string `xml:"ovf:name,attr"`
	Description string `xml:"Description"`
}

type ovfVirtualBody struct {
	ID       string      `xml:"ovf:id,attr"`
	Info     string      `xml:"Info"`
	Name     string      `xml:"Name"`
	OS       ovfOS       `xml:"OperatingSystemSection"`
	Hardware ovfHardware `xml:"VirtualHardwareSection"`
}

type ovfOS struct {
	ID          int    `xml:"ovf:id,attr"`
	Type        string `xml:"vmw:osType,attr"`
	Info        string `xml:"Info"`
	Description string `xml:"Description,omitempty"`
}

type ovfHardware struct {
	Info     string      `xml:"Info"`
	Family   ovfFamily   `xml:"System"`
	Items    []ovfItem   `xml:"Item"`
	Settings []ovfConfig `xml:"vmw:Config"`
}

type ovfFamily struct {
	ElementName string `xml:"vssd:ElementName"`
	InstanceID  int    `xml:"vssd:InstanceID"`
	Identifier  string `xml:"vssd:VirtualSystemIdentifier"`
	Type        string `xml:"vssd:VirtualSystemType"`
}

// ovfItem has its properties in alphabetic order, as the schema wants them.
type ovfItem struct {
	Required            string        `xml:"ovf:required,attr,omitempty"`
	Address             string        `xml:"rasd:Address,omitempty"`
	AddressOnParent     *int          `xml:"rasd:AddressOnParent"`
	AllocationUnits     string        `xml:"rasd:AllocationUnits,omitempty"`
	AutomaticAllocation string        `xml:"rasd:AutomaticAllocation,omitempty"`
	Connection          string        `xml:"rasd:Connection,omitempty"`
	Description         string        `xml:"rasd:Description,omitempty"`
	ElementName         string        `xml:"rasd:ElementName"`
	HostResource        string        `xml:"rasd:HostResource,omitempty"`
	InstanceID          int           `xml:"rasd:InstanceID"`
	Parent              int           `xml:"rasd:Parent,omitempty"`
	ResourceSubType     string        `xml:"rasd:ResourceSubType,omitempty"`
	ResourceType        int           `xml:"rasd:ResourceType"`
	VirtualQuantity     int64         `xml:"rasd:VirtualQuantity,omitempty"`
	CoresPerSocket      *ovfPerSocket `xml:"vmw:CoresPerSocket"`
}

type ovfPerSocket struct {
	Required string `xml:"ovf:required,attr"`
	Cores    int    `xml:",chardata"`
}

type ovfConfig struct {
	Required string `xml:"ovf:required,attr"`
	Key      string `xml:"vmw:key,attr"`
	Value    string `xml:"vmw:value,attr"`
}
