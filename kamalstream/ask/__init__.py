"""What may be answered: the validators that copier.yml and the wizard share."""
