package simulator

import "fmt"

// MaxColleagues is how many people [Colleagues] has names for.
const MaxColleagues = 40 * 40

// Colleagues returns so many people with a telephone each, for a company of real
// size beside the few of [Company]; at most [MaxColleagues]. They are the same at
// every call: the first of ten are the first ten of a thousand.
func Colleagues(n int) []Person {
	given, family := names()
	people := make([]Person, 0, n)
	for i := range min(n, MaxColleagues) {
		people = append(people, Person{
			Name:      given[i/len(family)] + " " + family[i%len(family)],
			Extension: fmt.Sprint(50000 + i),
		})
	}
	return people
}

// names returns forty given names and forty family names, none of which makes one
// of [Company].
func names() (given, family []string) {
	return []string{
			"Adele", "Aino", "Alma", "Anton", "Beata", "Boris", "Cecil", "Clara", "Dario", "Dora",
			"Edgar", "Elena", "Ewan", "Fiona", "Felix", "Gerda", "Gustav", "Hanna", "Henrik", "Ines",
			"Ivan", "Jana", "Jonas", "Karin", "Kofi", "Lena", "Lorenz", "Mabel", "Mateo", "Nadia",
			"Noah", "Olga", "Oscar", "Petra", "Rafael", "Rosa", "Simon", "Tilda", "Viktor", "Wanda",
		}, []string{
			"Abel", "Adler", "Alonso", "Becker", "Berg", "Bianchi", "Cohen", "Costa", "Dahl", "Dubois",
			"Eklund", "Fabre", "Fischer", "Garcia", "Graf", "Haas", "Horvat", "Ivanov", "Jansen", "Keller",
			"Kovac", "Lang", "Larsen", "Marin", "Mensah", "Meyer", "Moreau", "Nagy", "Nilsen", "Okoye",
			"Olsen", "Pavlov", "Peters", "Reyes", "Romano", "Sato", "Silva", "Toth", "Vogel", "Weber",
		}
}
