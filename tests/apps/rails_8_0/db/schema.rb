ActiveRecord::Schema[8.0].define(version: 2026_01_01_000000) do
  create_table "notes", force: :cascade do |t|
    t.text "body", null: false
    t.datetime "created_at", null: false
    t.datetime "updated_at", null: false
  end
end
