Note.find_or_create_by!(body: "The first note")
