package mutants

const consume = "server/internal/consume/"

// consumeMutants break what the server does for streams that consume.
var consumeMutants = []Mutant{
	{
		Name: "unsent-goes-to-others", Guarantee: "one holder",
		Off:    "a client that is thrown out is still sent what has gone to others meanwhile",
		Caught: []string{"two-holders"},
		Edits: []Edit{
			{
				consume + "outbox.go",
				"\t\tif _, ok := item.(coordinator.Deliver); !ok {\n",
				"\t\t{\n",
			},
			{
				consume + "stream.go",
				"\tif c.outbox.isEnded() {\n",
				"\tif false {\n",
			},
		},
	},
}
